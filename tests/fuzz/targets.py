"""Every parser of what comes from outside; a protocol adds a file of its own with `targets()` and its line here."""

from tests.fuzz import rtp_targets, sip_targets, stream_targets
from tests.fuzz.mutation import Target


def all_targets() -> list[Target]:
    """By the layers of the telephony sources."""
    return [*rtp_targets.targets(), *sip_targets.targets(), *stream_targets.targets()]
