"""Readings in 38 bytes, and back."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.history.packing import compress, count, decompress, pack, unpack
from monitor.messages import LABELS, MOODS, PARTIES, STATES, Reading, rfc3339, unix_ms
from tests.broadcasting import AT, reading

START_MS = unix_ms(AT) - 40_000

fours = st.integers(0, 10_000).map(lambda value: value / 10_000)


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    """As the pipeline makes them: rounded as it rounds."""
    end = draw(st.integers(0, 100_000_000))
    return Reading(
        at=rfc3339((START_MS + draw(st.integers(0, 86_400_000))) / 1000),
        call="a",
        seq=draw(st.integers(1, 4_000_000)),
        party=draw(st.sampled_from(PARTIES)),
        start_s=max(0, end - 30_000) / 10_000,
        end_s=end / 10_000,
        state=draw(st.sampled_from(STATES)),
        label=draw(st.none() | st.sampled_from(LABELS)),
        mood=draw(st.none() | st.sampled_from(MOODS)),
        confidence=draw(st.none() | fours),
        scores=draw(st.none() | st.fixed_dictionaries(dict.fromkeys(LABELS, fours))),
        speech_share=draw(st.integers(0, 1000)) / 1000,
        level_db=draw(st.none() | st.integers(-1_200, 0).map(lambda value: value / 10)),
        latency_ms=draw(st.integers(0, 600_000)) / 10,
    )


@settings(max_examples=40)
@given(st.lists(readings(), min_size=1, max_size=12))
def test_what_the_pipeline_makes_comes_back_exactly_also_through_compression(told: list[Reading]) -> None:
    packed = [pack(one, START_MS) for one in told]
    assert None not in packed
    records = b"".join(record for record in packed if record)
    assert count(records) == len(told)
    assert list(unpack(records, "a", START_MS)) == told
    assert decompress(compress(records)) == records


def test_finer_numbers_come_back_within_half_a_unit() -> None:
    scores = dict.fromkeys(LABELS, 1 / 6)
    fine = reading(3, scores=scores, confidence=1 / 3, speech_share=2 / 3, level_db=-31.26, latency_ms=12.34)
    record = pack(fine, START_MS)
    assert record is not None
    (back,) = unpack(record, "a", START_MS)
    assert back.scores is not None
    assert back.scores["anger"] == pytest.approx(1 / 6, abs=0.00005)
    assert back.confidence == pytest.approx(1 / 3, abs=0.00005)
    assert back.speech_share == pytest.approx(2 / 3, abs=0.0005)
    assert (back.level_db, back.latency_ms) == (-31.3, 12.3)
    assert replace(fine, **{name: getattr(back, name) for name in LOSSY}) == back


LOSSY = ("scores", "confidence", "speech_share", "level_db", "latency_ms")


@pytest.mark.parametrize(
    "changes",
    [
        {"end_s": 1e6},
        {"end_s": 3.00005},
        {"start_s": -8.0},
        {"seq": -1},
        {"latency_ms": 1e9},
        {"level_db": float("nan")},
        {"level_db": float("-inf")},
        {"scores": {"anger": 1.0}},
        {"confidence": 7.0},
        {"at": "2026-01-31T12:00:00Z"},
        {"at": "2026-01-31T12:00:00.250123Z"},
        {"at": "2020-01-31T12:00:00.250Z"},
        {"at": "yesterday"},
        {"party": "bystander"},
    ],
)
def test_what_a_record_has_no_room_for_is_not_packed(changes: dict[str, Any]) -> None:
    assert pack(reading(3), START_MS)
    assert pack(replace(reading(3), **changes), START_MS) is None


def test_damaged_records_are_said_to_be() -> None:
    with pytest.raises(ValueError, match="no packed readings"):
        list(unpack(b"short", "a", 0))
    with pytest.raises(ValueError, match="no packed readings"):
        list(unpack(b"\xff" * 38, "a", 0))
    with pytest.raises(ValueError, match="no compressed readings"):
        decompress(b"not deflated")


def test_a_new_field_of_a_reading_needs_room_in_the_record() -> None:
    packed = {"party", "state", "label", "mood", "confidence", "scores", "speech_share", "level_db", "latency_ms"}
    always = {"v", "at", "call", "seq", "start_s", "end_s"}
    assert set(Reading.__struct_fields__) == packed | always, "or it is lost: see monitor/history/packing.py"
    assert PARTIES == ("agent", "customer", "mixed")
    assert STATES == ("speech", "uncertain", "silence", "too_little_speech", "clipped", "gap", "not_scored")
    assert LABELS == ("anger", "disgust", "fear", "happy", "neutral", "sad")
    assert MOODS == ("angry", "dissatisfied", "satisfied", "calm", "unclear"), "stored readings count on the order"
