import numpy as np
import pytest
from board_messages import agent, reading
from hypothesis import given
from hypothesis import strategies as st

from monitor.course import CELLS_KEPT, READINGS_KEPT, Course, Readings
from monitor.recent import CELL_S
from monitor.snapshot import CourseView


def course_of(*ends_s: float, negative: float = 0.2, label: str = "neutral") -> Course:
    course = Course()
    for end_s in ends_s:
        course.add(reading(end_s, label, negative=negative))  # type: ignore[arg-type]
    return course


def test_a_cell_is_the_mean_of_its_readings_and_what_most_of_them_say() -> None:
    course = course_of(0.5, 1.0, negative=0.2)
    course.add(reading(3.0, "anger", negative=0.8, share=0.2))
    (cell,) = course.view().cells
    assert cell is not None
    assert cell.scores == pytest.approx((0.4, 0.0, 0.0, 0.0, 0.6, 0.0))
    assert (cell.tone, cell.speech_share) == ("neutral", pytest.approx(0.6))


def test_what_was_not_scored_has_no_scores_and_what_was_not_heard_no_cell() -> None:
    course = course_of(10.0)
    course.add(reading(3.0, state="silence", share=0.0))
    first, second, third, fourth = course.view().cells
    assert first is not None
    assert fourth is not None
    assert (first.scores, first.tone, second, third, fourth.tone) == (None, "silence", None, None, "neutral")


def test_a_long_call_is_kept_whole_in_coarser_cells() -> None:
    course = course_of(*np.arange(0.5, 3_600.5, 0.5))
    view = course.view()
    assert (view.cell_s, len(view.cells)) == (24.0, 150)
    assert all(cell is not None and cell.scores == pytest.approx((0.2, 0, 0, 0, 0.8, 0)) for cell in view.cells)
    assert course.shares() == {"neutral": 1.0}


@given(st.lists(st.floats(0.25, 20_000.0), min_size=1, max_size=40))
def test_however_long_a_call_lasts_its_cells_are_bounded_and_no_reading_is_lost(ends_s: list[float]) -> None:
    course = course_of(*sorted(ends_s))
    view = course.view()
    assert len(view.cells) <= CELLS_KEPT
    assert len(view.cells) * view.cell_s >= max(ends_s) - 1e-6
    assert course._rows()[:, 8].sum() == len(ends_s)
    assert (view.cell_s / CELL_S).is_integer()


def test_shares_are_of_all_readings_the_largest_first() -> None:
    course = course_of(1.0, 2.0, 3.0)
    course.add(reading(4.0, state="gap"))
    assert list(course.shares().items()) == [("neutral", 0.75), ("gap", 0.25)]
    assert (Course().shares(), Course().view()) == ({}, CourseView(CELL_S, ()))


def test_evidence_names_the_readings_that_are_known_and_what_they_heard() -> None:
    readings = Readings()
    for seq in range(2, 12):
        readings.add(reading(seq / 2, "anger", negative=seq / 20, seq=seq))
    evidence = readings.evidence([1, 10, 11])
    assert (evidence.count, evidence.leader) == (3, "anger")
    assert evidence.readings == ((5.0, 0.5), (5.5, 0.55))
    assert evidence.means["anger"] == pytest.approx(0.525)


def test_evidence_of_silence_has_moments_only() -> None:
    readings = Readings()
    readings.add(agent(3.0))
    evidence = readings.evidence([2])
    assert (evidence.readings, evidence.leader, evidence.means) == (((3.0, None),), None, {})


def test_only_the_last_readings_are_kept() -> None:
    readings = Readings()
    for seq in range(READINGS_KEPT + 1):
        readings.add(reading(seq / 2, seq=seq))
    evidence = readings.evidence(range(READINGS_KEPT + 1))
    assert (evidence.count, len(evidence.readings), evidence.readings[0][0]) == (129, 128, 0.5)


def test_of_a_call_that_is_over_no_reading_is_kept() -> None:
    readings = Readings()
    readings.add(reading(3.0, seq=2))
    readings.forget()
    assert readings.evidence([2]).readings == ()
    assert len(readings._rows) == 0
