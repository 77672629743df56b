import pytest
from board_messages import T0, agent, cleared, ended, error, gap, raised, reading, started
from msgspec import structs

from monitor.messages import AnyMessage, Hello, Missed, rfc3339
from monitor.plain import line, summary


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (reading(12.5, "anger", "angry"), " 0:12.50  one               customer  anger          70%  angry"),
        (reading(3.0, state="silence"), " 0:03.00  one               customer  silent              calm"),
        (
            reading(9.0, state="uncertain", mood="unclear"),
            " 0:09.00  one               customer  unsure         70%  unclear",
        ),
        (started(), " 0:00.00  one               started: recording, agent (not scored), customer (scored)"),
        (
            raised(51.0, start_s=40.0),
            " 0:51.00  one               customer  ALERT sustained anger (critical), holds since 0:40",
        ),
        (
            cleared(72.0),
            " 1:12.00  one               customer  alert cleared: sustained anger (critical), held since 0:00",
        ),
        (gap(3.0, 4.25), " 0:04.25  one               customer  lost 1.25 s of audio: lost packets"),
        (ended(72.0, outcome="angry"), " 1:12.00  one               ended: end; outcome angry"),
        (error("x.wav: no samples"), "error audio: x.wav: no samples"),
        (Missed(at=rfc3339(T0), count=12, reason="slow"), "missed 12 messages: slow"),
        (Missed(at=rfc3339(T0), call="a", count=12, reason="slow", seq=14), "missed 12 messages of a: slow"),
    ],
)
def test_a_message_is_one_line(message: AnyMessage, told: str) -> None:
    assert line(message) == told


def test_a_party_that_is_not_scored_and_hello_say_nothing() -> None:
    assert line(agent(3.0)) is None
    assert line(Hello(at=rfc3339(T0), node="n", model="m", window_s=3.0, hop_s=0.5)) is None


def test_outside_text_cannot_break_a_line() -> None:
    evil = "[bold]x\x1b[31m\nnext"
    told = [
        line(reading(3.0, call=evil)),
        line(gap(1.0, 2.0, reason=evil)),
        line(error(evil, evil)),
        line(ended(3.0, evil, reason=evil)),
        line(raised(3.0, evil, rule=evil)),
        summary(ended(3.0, evil, reason=evil), [raised(3.0, evil, rule=evil)]).replace("\n  customer", ""),
    ]
    for text in told:
        assert text is not None
        assert "[bold]x�[31m�next" in text
        assert text.isprintable()


def test_an_alert_about_the_call_is_not_told_of_a_party() -> None:
    dead = structs.replace(raised(51.0, severity="warning", rule="dead_air", start_s=31.0), about="call")
    assert line(dead) == " 0:51.00  one               call      ALERT dead air (warning), holds since 0:31"


def test_a_summary_tells_outcome_alerts_and_shares_that_matter() -> None:
    assert summary(ended(72.0, outcome="angry"), [raised(51.0), raised(52.0, "another")]) == (
        "one: angry, 1:12, end, alerts: sustained anger at 0:51\n  customer: neutral 60%, anger 30%, little speech 10%"
    )


def test_a_summary_says_that_there_were_no_alerts_only_where_that_is_known() -> None:
    assert summary(ended(3.0), []).splitlines()[0] == "one: calm, 0:03, end, alerts: none"
    assert summary(ended(3.0)).splitlines()[0] == "one: calm, 0:03, end"
