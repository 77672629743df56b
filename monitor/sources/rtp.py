"""The RTP receiver: one UDP socket a party, shared by every source whose calls come as RTP.

How a SIP source uses it, all on one event loop:

    receiver = RtpReceiver(settings.rtp, queue)                # checks the settings: raises SettingError
    stream = await receiver.open(call, "customer", {0: PCMU, 101: TELEPHONE_EVENT}, opened_s, remote_hosts=["192.0.2.7"])
    stream.port                                                # goes into the answer's m-line, receiver.host into its c=
    stream.hold(); stream.resume(); stream.set_codecs(...)     # re-INVITE, UPDATE
    stream.close()                                             # puts the last samples; CallClosed may follow at once
    receiver.close()
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from monitor.messages import Party
from monitor.settings import RtpSettings
from monitor.sources import BlockQueue
from monitor.sources.codecs import Codec


@dataclass
class StreamCounters:
    """What came on one party's port, in packets."""

    received: int = 0
    """Taken, whatever became of them."""
    lost: int = 0
    """Missing in the sequence; each audio packet of them is a gap in the call's time."""
    late: int = 0
    """Came after they had been given up."""
    duplicate: int = 0
    foreign: int = 0
    """From another address than the stream's, or of a payload type that was not agreed."""
    malformed: int = 0
    """No RTP, or a payload that could not be decoded."""
    flooded: int = 0
    """Beyond the limits of packets or bytes a second."""
    rtcp: int = 0


class RtpStream:
    """One party's audio on one port. Everything belongs to the receiver's event loop."""

    port: int
    """Even; RTCP comes on the next, or multiplexed."""
    counters: StreamCounters
    heard_s: float | None = None
    """Monotonic clock of the last RTP packet from the stream's own address; None before the first."""
    said_bye: bool = False
    """Whether the sender said RTCP BYE since its last audio."""

    def set_codecs(self, codecs: Mapping[int, Codec]) -> None:
        """Another agreement of payload types, from now on."""
        raise NotImplementedError

    def hold(self) -> None:
        """What comes is passed over, time goes on as silence. May be called twice."""
        raise NotImplementedError

    def resume(self) -> None:
        """Listen again, after `hold`; elsewhere it does nothing."""
        raise NotImplementedError

    def assign(self, call: str, party: Party, opened_s: float) -> None:
        """Put what is left; from now on this port's audio belongs to that call and party, whose sample 0 is `opened_s`.

        For metadata that comes after the audio and says that the parties are others than was thought.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Put what is left and give the port back. May be called twice."""
        raise NotImplementedError


class RtpReceiver:
    """All RTP streams of one node; belongs to one running event loop. Raises SettingError for settings that cannot hold."""

    host: str
    """Address for the answer's c= line: `public_host`, else `host`."""
    counters: StreamCounters
    """Of all streams together, past ones included."""

    def __init__(self, settings: RtpSettings, queue: BlockQueue, now: Callable[[], float] = time.monotonic) -> None:
        raise NotImplementedError

    async def open(
        self,
        call: str,
        party: Party,
        codecs: Mapping[int, Codec],
        opened_s: float,
        remote_hosts: Iterable[str] = (),
    ) -> RtpStream:
        """Listen for one party. `opened_s` is the monotonic moment that is sample 0 of the call.

        The stream follows the first plausible source; one of `remote_hosts` (the SDP's c=, the SIP peer) takes it over
        from a source that is not named. Raises SourceError when no port is left.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close every stream that is still open."""
        raise NotImplementedError
