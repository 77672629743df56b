import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.audio import Block, float_to_mulaw
from monitor.errors import ProtocolError
from monitor.identities import Identities
from monitor.sources import BlockQueue, CallNames
from monitor.sources.codecs import PCMU, linear
from monitor.sources.one_party import OneParty, claim_of
from monitor.sources.switchboard import Switchboard

FRAME = float_to_mulaw(np.full(160, 0.25, np.float32)).tobytes()
RULES = ("it says", "we say")


class Line:
    """A party at a switchboard, and the samples that came out."""

    def __init__(self) -> None:
        self._queue = BlockQueue(6_000)
        self._board = Switchboard(self._queue, CallNames(), Identities(show=False), 0.02, 9)
        claim = claim_of("test", {"party": "customer"}, "call", "mixed", RULES)
        self.party = OneParty(self._board.connect(claim, 100.0), "customer")
        self.party.use(PCMU)

    def end(self, now_s: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """What was heard from the call's beginning; NaN stands for what no block covers."""
        self.party.leave("end", None, now_s)
        self._board.tick(now_s)
        blocks = [event for event in self._queue.take(0) if isinstance(event, Block)]
        heard = np.full(max(one.start + one.samples.size for one in blocks), np.nan, np.float32)
        for one in blocks:
            heard[one.start : one.start + one.samples.size] = one.samples
        return heard


@pytest.mark.parametrize(
    ("parameters", "party", "rule", "key", "expects"),
    [
        ({}, "mixed", "the only voice (we say)", "", ()),
        ({"party": "agent"}, "agent", "the only voice (it says)", "", ()),
        ({"call": "7"}, "mixed", "the only voice (we say)", "", ()),
        ({"call": "7", "party": "agent"}, "agent", "the only voice (it says)", "7", ("customer", "agent")),
        ({"call": "7", "party": ""}, "mixed", "the only voice (we say)", "", ()),
    ],
)
def test_what_parameters_say_of_a_voice(
    parameters: dict[str, str], party: str, rule: str, key: str, expects: tuple[str, ...]
) -> None:
    claim = claim_of("test", parameters, "named", "mixed", RULES)
    assert (claim.parties, claim.key, claim.expects) == ({party: rule}, key, expects)
    assert claim.name == parameters.get("call", "named")


def test_a_party_that_is_none_is_refused() -> None:
    with pytest.raises(ProtocolError, match="the parameter party is 'boss', expected one of"):
        claim_of("test", {"party": "boss"}, "call", "mixed", RULES)


@given(st.lists(st.integers(0, 12), min_size=5, max_size=60))
def test_audio_that_goes_on_is_heard_without_a_seam_however_the_network_delays_it(delays: list[int]) -> None:
    """Up to 240 ms, which may put several frames at one moment."""
    line = Line()
    at_s = 100.0
    for number, delay in enumerate(delays):
        at_s = max(at_s, 100.02 + 0.02 * number + 0.02 * delay)
        line.party.hear(FRAME, at_s)
    heard = line.end(at_s + 0.3)
    loud = np.flatnonzero(heard > 0.1)
    assert loud.size == 160 * len(delays)
    assert loud[-1] - loud[0] == loud.size - 1


@given(st.floats(0.5, 55.0))
def test_a_pause_is_silence_as_long_as_it_was(pause_s: float) -> None:
    line = Line()
    for number in range(50):
        line.party.hear(FRAME, 100.02 + 0.02 * number)
    for number in range(50):
        line.party.hear(FRAME, 101.02 + pause_s + 0.02 * number)
    heard = line.end(102.1 + pause_s)
    loud = np.flatnonzero(heard > 0.1)
    assert loud.size == 16_000
    assert np.diff(loud).max() / 8_000 == pytest.approx(pause_s, abs=0.05)
    assert not np.isnan(heard).any()


def test_a_pause_of_more_than_a_minute_is_what_nobody_heard() -> None:
    line = Line()
    line.party.hear(FRAME * 50, 101.0)
    line.party.hear(FRAME * 50, 191.0)
    heard = line.end(191.1)
    assert np.isnan(heard).sum() == pytest.approx(89 * 8_000, abs=4_000)


def test_what_was_held_up_and_comes_at_once_is_no_pause() -> None:
    line = Line()
    line.party.hear(FRAME * 25, 100.5)
    for _ in range(100):
        line.party.hear(FRAME, 102.5)
    heard = line.end(102.6)
    loud = np.flatnonzero(heard > 0.1)
    assert loud.size == loud[-1] - loud[0] + 1 == 125 * 160


def test_another_codec_goes_on_where_the_first_ended() -> None:
    line = Line()
    line.party.hear(FRAME * 50, 101.0)
    line.party.use(linear(16_000, "little"))
    line.party.hear(np.full(16_000, 8_000, "<i2").tobytes(), 102.0)
    loud = np.flatnonzero(line.end(102.1) > 0.1)
    assert loud.size == pytest.approx(16_000, abs=200)
    assert np.diff(loud).max() < 200
