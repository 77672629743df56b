from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.codecs import G722, OPUS, PCMU, linear
from monitor.sources.twilio_order import Chunks, Timeline


def test_each_track_counts_for_itself() -> None:
    chunks = Chunks()
    assert [chunks.sequence("inbound", one) for one in (1, 2, 4, 3, 4, 9)] == [1, 2, 4, 3, 4, 9]
    assert [chunks.sequence("outbound", one) for one in (1, 2, 3)] == [1, 2, 3]


def test_without_chunks_the_order_is_that_of_their_coming() -> None:
    chunks = Chunks()
    assert [chunks.sequence("inbound", None) for _ in range(3)] == [1, 2, 3]


def test_a_count_that_begins_anew_goes_on() -> None:
    chunks = Chunks()
    assert [chunks.sequence("", one) for one in (1, 2, 50_000, 50_001)] == [1, 2, 3, 4]


@given(st.lists(st.sampled_from(["inbound", "outbound"]), min_size=2, max_size=300), st.integers(0, 1_000))
def test_tracks_that_count_together_have_no_holes(tracks: list[str], seed: int) -> None:
    """The same as if each counted for itself, with the loss of some of the later ones."""
    random = Random(seed)
    together, apart, own = Chunks(), Chunks(), dict.fromkeys(tracks, 0)
    for number, track in enumerate(tracks, 1):
        own[track] += 1
        if number > 2 and random.random() < 0.05 and len(set(tracks)) == 1:
            continue
        sequence = together.sequence(track, number)
        if len(set(tracks)) > 1:
            assert sequence == own[track]
        else:
            assert sequence == apart.sequence(track, number)


def times(codec: object, stated: list[int], ticks: int = 160, sequences: list[int] | None = None) -> list[int]:
    timeline = Timeline(codec)  # type: ignore[arg-type]
    numbers = sequences or list(range(1, len(stated) + 1))
    return [timeline.timestamp(number, one, ticks) for number, one in zip(numbers, stated, strict=True)]


@pytest.mark.parametrize("stated", [[0, 20, 40, 60, 80], [5, 26, 44, 65, 85], [0, 160, 320, 480, 640]])
def test_milliseconds_rounded_or_not_and_samples_mean_the_same(stated: list[int]) -> None:
    assert times(PCMU, stated) == [0, 160, 320, 480, 640]


@pytest.mark.parametrize("factor", [1, 8])
def test_a_pause_is_as_long_as_it_says(factor: int) -> None:
    stated = [one * factor for one in (0, 20, 40, 60, 1_060, 1_080)]
    assert times(PCMU, stated) == [0, 160, 320, 480, 8_480, 8_640]


def test_what_is_missing_by_its_number_is_counted_by_its_number() -> None:
    assert times(PCMU, [0, 20, 40, 100, 120], sequences=[1, 2, 3, 6, 7]) == [0, 160, 320, 800, 960]


def test_what_comes_late_has_its_own_place() -> None:
    assert times(PCMU, [0, 20, 60, 40, 80], sequences=[1, 2, 4, 3, 5]) == [0, 160, 480, 320, 640]


@pytest.mark.parametrize(("codec", "ticks"), [(G722, 160), (OPUS, 960), (linear(16_000, "little"), 320)])
def test_clocks_of_other_codecs(codec: object, ticks: int) -> None:
    assert times(codec, [0, 20, 40, 60, 1_060], ticks) == [0, ticks, 2 * ticks, 3 * ticks, 53 * ticks]
    assert times(codec, [0, ticks, 2 * ticks, 3 * ticks, 53 * ticks], ticks)[-1] == 53 * ticks


@pytest.mark.parametrize("stated", [[None] * 4, [7, 7, 7, 7], [900, 1, 800, 2], [1 << 52, 0, 1 << 52, 0]])
def test_times_that_say_nothing_are_passed_over(stated: list[int]) -> None:
    assert times(PCMU, stated) == [0, 160, 320, 480]


def test_a_clock_that_runs_on_is_followed() -> None:
    """A sender whose time is 1 % faster than its audio."""
    stated = [round(20.2 * number) for number in range(1_000)]
    got = times(PCMU, stated)
    assert got[-1] == pytest.approx(stated[-1] * 8, abs=1_200)
    assert all(later > earlier for earlier, later in pairwise(got))


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 1 << 53), st.integers(0, 960)), max_size=40))
def test_any_numbers_give_times(numbers: list[tuple[int, int, int]]) -> None:
    timeline = Timeline(PCMU)
    for sequence, stated, ticks in numbers:
        assert isinstance(timeline.timestamp(sequence, stated, ticks), int)
