from monitor.watchdog import WAITS_S, Restarts, Watchdog

LOOKS_S = [0.1 * number for number in range(1, 200)]


def hung_after_s(dog: Watchdog, looks: list[tuple[float, int, bool]]) -> float | None:
    return next((now_s for now_s, beats, listening in looks if dog.is_hung(now_s, beats, listening)), None)


def test_whoever_beats_lives() -> None:
    assert hung_after_s(Watchdog(3.0), [(now_s, int(now_s), True) for now_s in LOOKS_S]) is None


def test_whoever_beats_no_more_is_hung_after_the_bound() -> None:
    found_s = hung_after_s(Watchdog(3.0), [(now_s, min(int(now_s), 5), True) for now_s in LOOKS_S])
    assert found_s is not None
    assert 8.0 <= found_s < 8.25


def test_what_could_not_be_heard_does_not_count() -> None:
    assert hung_after_s(Watchdog(3.0), [(now_s, 0, now_s < 2.5) for now_s in LOOKS_S]) is None


def test_a_machine_that_slept_finds_nobody_hung_when_it_wakes() -> None:
    dog = Watchdog(3.0)
    assert [dog.is_hung(now_s, 7, True) for now_s in (0.0, 0.1, 3_600.0, 3_600.1, 7_200.0)] == [False] * 5


def test_the_waits_grow_until_a_process_has_lived_long() -> None:
    restarts = Restarts()
    assert [restarts.wait_s(1.0) for _ in range(4)] == [0.0, 1.0, 2.0, 4.0]
    assert [restarts.wait_s(60.0), restarts.wait_s(59.9)] == [0.0, 1.0]
    assert [restarts.wait_s(1.0) for _ in WAITS_S][-2:] == [None, None]
