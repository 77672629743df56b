from monitor.sources.wakefulness import Wakefulness


def test_what_ends_while_it_is_awake_ends_now() -> None:
    wakefulness = Wakefulness(10.0)
    assert wakefulness.ended_s(10.3) == 10.3
    for look in range(100):
        wakefulness.look(10.0 + 0.04 * look)
    assert wakefulness.ended_s(14.0) == 14.0


def test_what_ended_while_it_stood_still_ended_when_it_began_to_until_it_has_looked_twice() -> None:
    wakefulness = Wakefulness(10.0)
    wakefulness.look(10.04)
    assert wakefulness.ended_s(60.0) == 10.04
    wakefulness.look(60.0)
    assert wakefulness.ended_s(60.02) == 10.04
    wakefulness.look(60.04)
    assert wakefulness.ended_s(60.05) == 60.05
