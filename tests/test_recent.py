import pytest
from board_messages import reading
from hypothesis import given
from hypothesis import strategies as st

from monitor.messages import Label
from monitor.recent import CELL_S, STRIP_CELLS, Strip, Trend


def strip_of(*heard: tuple[float, Label]) -> Strip:
    strip = Strip()
    for end_s, label in heard:
        strip.add(reading(end_s, label))
    return strip


def test_a_cell_is_what_most_of_its_readings_say() -> None:
    strip = strip_of((0.5, "sad"), (1.0, "anger"), (1.5, "anger"), (3.0, "anger"), (3.5, "neutral"))
    assert strip.cells() == ("anger", "neutral")


def test_cells_without_a_reading_stay_empty() -> None:
    assert strip_of((1.0, "sad"), (11.0, "happy")).cells() == ("sad", None, None, "happy")


def test_a_late_reading_does_not_turn_time_back() -> None:
    assert strip_of((1.0, "sad"), (7.0, "happy"), (2.0, "sad"), (8.0, "happy")).cells() == ("sad", None, "happy")


@given(st.lists(st.floats(0.25, 400.0), min_size=1, max_size=60), st.sampled_from([0.25, 0.5, 1.0, 3.0]))
def test_a_strip_never_holds_more_than_two_minutes(steps: list[float], hop_s: float) -> None:
    strip, end_s = Strip(), 0.0
    for step in steps:
        end_s += max(hop_s, round(step / hop_s) * hop_s)
        strip.add(reading(end_s))
        assert 1 <= len(strip.cells()) <= STRIP_CELLS
        assert strip.cells()[-1] == "neutral"


@pytest.mark.parametrize("hop_s", [0.25, 0.5, 1.5, 3.0])
def test_the_hop_does_not_change_the_strip(hop_s: float) -> None:
    """Two minutes, anger from half of it on."""
    ends = [(index + 1) * hop_s for index in range(int(120 / hop_s))]
    strip = strip_of(*((end_s, "anger" if end_s > 60.0 else "neutral") for end_s in ends))
    assert strip.cells() == ("neutral",) * 20 + ("anger",) * 20
    assert len(strip.cells()) * CELL_S == 120.0


def trend_after(first: float, then: float, seconds: float) -> float | None:
    trend = Trend()
    for half in range(1, 121):
        trend.add(half / 2, first)
    for half in range(121, 121 + int(2 * seconds)):
        trend.add(half / 2, then)
    return trend.value


def test_there_is_no_trend_within_the_first_minute() -> None:
    assert trend_after(0.1, 0.9, 0.0) is None


def test_a_trend_tends_to_the_difference_from_the_first_minute() -> None:
    assert trend_after(0.2, 0.2, 60.0) == pytest.approx(0.0)
    assert trend_after(0.2, 0.8, 15.0) == pytest.approx(0.6 * 0.63, abs=0.02)
    assert trend_after(0.2, 0.8, 120.0) == pytest.approx(0.6, abs=0.01)
    assert trend_after(0.8, 0.2, 120.0) == pytest.approx(-0.6, abs=0.01)


def test_silence_does_not_weigh_more_than_one_cell() -> None:
    trend = Trend()
    for half in range(1, 121):
        trend.add(half / 2, 0.2)
    trend.add(1_000.0, 0.8)
    assert trend.value == pytest.approx(0.1)
