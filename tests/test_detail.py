import pytest
from board_messages import T0, acknowledged, agent, cleared, ended, error, gap, raised, reading, started
from rich.cells import cell_len

from monitor.board import Board
from monitor.dashboard.detail import detail_lines, gone_lines
from monitor.dashboard.sample import sample
from monitor.messages import AnyMessage


def lines_of(
    *messages: AnyMessage, now_s: float, width: int = 120, whole: bool = False, stopped: bool = False
) -> list[str]:
    """The lines of call `one` without blanks at their ends."""
    board = Board()
    for message in messages:
        board.receive(message)
    detail = board.snapshot(T0 + now_s, "one").detail
    assert detail is not None
    lines = detail_lines(detail, width, whole, stopped, airy=False)
    return ["".join(segment.text for segment in line).rstrip() for line in lines]


def row(lines: list[str], label: str) -> str:
    """What stands in the chart behind `label`."""
    (line,) = [line for line in lines if line.strip().startswith(label)]
    return line[20:]


ANGRY = [reading(end_s, "anger", "angry", negative=0.75, seq=int(2 * end_s)) for end_s in (31.0, 31.5, 32.0)]
CALL = [
    started(agent="4711", identity="+4930123"),
    *(reading(second, seq=2 * second) for second in range(1, 31)),
    *(agent(second, 0.5) for second in range(1, 31)),
    *ANGRY,
]


def test_it_says_who_is_on_the_phone_and_whose_emotion_is_read() -> None:
    assert lines_of(*CALL, now_s=32.0)[0] == (
        "  one   0:32   agent 4711   recording   agent: speech only   customer +4930123: emotion is read"
    )


def test_it_says_how_the_call_stands_and_how_it_would_end() -> None:
    _, now, heard, *_ = lines_of(*CALL, now_s=32.0)
    assert now == "  mood: ▲ angry 0:01   now: ▲ anger   70%"
    assert heard == "  outcome so far: ▲ angry   ─ neutral 91%   ▲ anger 9%"


def test_six_emotions_stand_over_time_with_the_last_value() -> None:
    lines = lines_of(*CALL, now_s=32.0)
    assert row(lines, "▲ anger") == "▂▂▂▂▂▂▂▂▂▂▇  75%"
    assert row(lines, "─ neutral") == "▇▇▇▇▇▇▇▇▇▇▃  25%"
    assert row(lines, "● happy") == "▁▁▁▁▁▁▁▁▁▁▁   0%"
    assert row(lines, "heard as") == "──────────▲"


def test_times_stand_over_their_columns() -> None:
    lines = lines_of(*CALL, now_s=32.0)
    (axis,) = [line[20:] for line in lines if line.strip().startswith("0:00")]
    assert axis == "0:00      0:30"


def test_both_parties_speech_stands_under_them() -> None:
    lines = lines_of(*CALL, now_s=32.0)
    assert row(lines, "agent speaks") == "▄" * 10
    assert row(lines, "customer speaks") == "▆▆▆▆▆▆▆▆▆▆▆  80%"


def test_an_alert_tells_which_readings_raised_it() -> None:
    lines = lines_of(*CALL, raised(32.0, start_s=30.5, evidence=[62, 63, 64]), now_s=32.0)
    assert (
        "  ! sustained anger for 0:01   critical, customer, since 0:30, raised at 0:32   nobody looks after it: press a"
        in lines
    )
    assert "      raised by 3 readings from 0:31 to 0:32   anger 75%, neutral 25% on average" in lines
    assert "      0:31 ▲ 75%   0:31.5 ▲ 75%   0:32 ▲ 75%" in lines
    assert row(lines, "alerts") == "          !"


def test_an_alert_tells_who_looks_after_it_and_when_it_cleared() -> None:
    alert = raised(3.0, start_s=2.0, evidence=[6])
    lines = lines_of(*CALL, alert, acknowledged(4.0, by="Maria"), now_s=32.0)
    assert any(line.endswith("✓ Maria looks after it") for line in lines)
    lines = lines_of(*CALL, alert, acknowledged(4.0, by="Maria"), cleared(9.0), now_s=32.0)
    assert any(
        "for 0:07   critical, customer, since 0:02, raised at 0:03, cleared at 0:09   ✓ Maria looked after it" in line
        for line in lines
    )
    assert row(lines, "alerts").rstrip() == "!━━"


def test_readings_from_before_the_dashboard_listened_are_told_as_unknown() -> None:
    lines = lines_of(*CALL, raised(32.0, evidence=[1_000]), raised(32.0, rule="x", evidence=[1_000, 64]), now_s=32.0)
    assert "      the readings that raised it came before this dashboard listened" in lines
    assert any("raised by 2 readings, of which 1 are known here at 0:32" in line for line in lines)


def test_an_ended_call_tells_its_outcome_and_the_alert_that_stayed_open() -> None:
    lines = lines_of(*CALL, raised(32.0, start_s=30.0), ended(33.0, outcome="angry"), now_s=75.0)
    assert lines[0].startswith("  one   ended 0:42 ago after 0:33: end   agent 4711")
    assert lines[2].startswith("  outcome: ▲ angry   ─ neutral 91%")
    assert any("open to the end at 0:33" in line for line in lines)
    assert not any("press a" in line for line in lines)


def test_a_call_without_audio_shows_no_mood_no_outcome_style_and_no_value_as_current() -> None:
    lines = lines_of(*CALL, now_s=60.0)
    assert lines[1] == "  ╳ no audio   for 0:28"
    assert row(lines, "─ neutral") == "▇▇▇▇▇▇▇▇▇▇▃"


def test_where_nothing_is_scored_any_more_no_mood_stands() -> None:
    lines = lines_of(*CALL, error("no model", "pipeline"), now_s=32.0, stopped=True)
    assert lines[1] == "  ╳ stopped"


def test_lost_audio_is_told_and_leaves_a_hole() -> None:
    lines = lines_of(*CALL[:4], gap(3.0, 9.0), reading(12.0), now_s=12.0)
    assert row(lines, "─ neutral") == "▇  ▇  80%"
    assert any("6.0 s of audio lost" in line for line in lines)


def test_a_call_that_just_began_or_is_not_scored_says_so() -> None:
    assert "  nothing was heard yet" in lines_of(started(), now_s=0.0)
    lines = lines_of(started(scored=()), agent(3.0, 0.5), reading(3.0, None, None, state="not_scored"), now_s=3.0)
    assert not any("anger" in line for line in lines)
    assert row(lines, "heard as") == "░"


def test_a_long_call_shows_its_last_minutes_or_the_whole() -> None:
    told = [started(), *(reading(second, "anger" if second > 540 else "neutral") for second in range(1, 601))]
    last = row(lines_of(*told, now_s=600.0), "heard as")
    whole = row(lines_of(*told, now_s=600.0, whole=True), "heard as")
    assert last == "─" * 73 + "▲" * 20
    assert whole == "─" * 60 + "▲" * 7
    (axis,) = [line for line in lines_of(*told, now_s=600.0, whole=True) if line.strip().startswith("0:00")]
    assert axis.split() == ["0:00", "2:00", "4:00", "6:00", "8:00", "10:00"]


@pytest.mark.parametrize("width", [1, 5, 20, 40, 80, 200])
def test_no_line_of_text_is_wider_than_the_terminal(width: int) -> None:
    detail = sample(opened="claims-07").detail
    assert detail is not None
    for whole in (False, True):
        for line in detail_lines(detail, max(30, width), whole, False, airy=True):
            assert cell_len("".join(segment.text for segment in line)) <= max(30, width)
        detail_lines(detail, width, whole, False, airy=True)
    gone_lines("claims-07", width)


def test_text_from_outside_stays_text() -> None:
    evil = "[bold]x\x1b[2J\n田"
    told = [
        started(agent=evil, identity=evil),
        reading(3.0),
        raised(3.0, rule=evil),
        acknowledged(3.5, rule=evil, by=evil),
    ]
    lines = lines_of(*told, ended(4.0, reason=f"error: {evil}"), now_s=5.0)
    assert all(line.isprintable() for line in lines)
    assert sum("[bold]x�[2J�田" in line for line in lines) >= 3
