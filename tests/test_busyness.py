import pytest

from monitor.busyness import STRETCH_S, Busyness


@pytest.mark.parametrize(
    ("rested_s", "network_s", "share"),
    [(2.0, 0.0, 0.0), (0.5, 1.0, 0.75), (1.0, 1.8, 0.9), (0.0, 0.0, 1.0), (2.0, 2.5, 1.0)],
)
def test_the_busier_of_the_two_threads_counts_over_a_whole_stretch(
    rested_s: float, network_s: float, share: float
) -> None:
    busy = Busyness(10.0)
    busy.note(10.0 + STRETCH_S / 2, rested_s / 2, network_s / 2, 10)
    assert busy.share == 0.0, "not yet known"
    busy.note(10.0 + STRETCH_S, rested_s / 2, network_s, 10)
    assert busy.share == pytest.approx(share)


def test_every_stretch_begins_anew() -> None:
    busy = Busyness(0.0)
    busy.note(STRETCH_S, 0.0, 0.0, 1)
    busy.note(2 * STRETCH_S, STRETCH_S, 0.0, 1)
    assert busy.share == 0.0
    busy.note(3 * STRETCH_S, STRETCH_S, 0.5 * STRETCH_S, 1)
    busy.note(4 * STRETCH_S, STRETCH_S, 0.6 * STRETCH_S, 1)
    assert busy.share == pytest.approx(0.1)


def test_calls_that_have_just_begun_count_as_what_they_will_cost() -> None:
    busy, shares = Busyness(0.0), []
    for stretch, parties in enumerate((100, 110, 120, 120, 120, 120), start=1):
        busy.note(stretch * STRETCH_S, 0.25 * STRETCH_S, 0.0, parties)
        shares.append(busy.share)
    of_100, of_110 = 120 / (100 + 0.3 * 20), 120 / (110 + 0.3 * 10)
    assert shares == pytest.approx([0.75, 0.75 * 110 / (100 + 0.3 * 10), 0.75 * of_100, 0.75 * of_110, 0.75, 0.75])


def test_the_first_calls_of_all_fill_no_node() -> None:
    busy = Busyness(0.0)
    busy.note(STRETCH_S, STRETCH_S, 0.0, 0)
    busy.note(2 * STRETCH_S, 0.6 * STRETCH_S, 0.0, 80)
    assert busy.share == pytest.approx(0.4)
