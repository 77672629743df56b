import pytest
from board_messages import T0, acknowledged, agent, ended, gap, raised, reading, started
from msgspec import structs
from rich.cells import cell_len

from monitor.board import Board
from monitor.dashboard.rows import Columns, Line, legend, lines_of, titles
from monitor.messages import AnyMessage

WIDE, NARROW = Columns.of(120), Columns.of(80)


def text_of(line: Line) -> str:
    return "".join(segment.text for segment in line)


def rows_of(*messages: AnyMessage, now_s: float, columns: Columns = WIDE, stopped: bool = False) -> list[str]:
    board = Board()
    for message in messages:
        board.receive(message)
    snapshot = board.snapshot(T0 + now_s)
    return [text_of(line) for line in lines_of((*snapshot.calls, *snapshot.ended)[0], columns, stopped)]


def row_of(*messages: AnyMessage, now_s: float, columns: Columns = WIDE, stopped: bool = False) -> str:
    (row,) = rows_of(*messages, now_s=now_s, columns=columns, stopped=stopped)
    return row


def told(row: str) -> str:
    """Mood and now of a wide row."""
    return " ".join(row[30:66].split())


@pytest.mark.parametrize(("columns", "width"), [(WIDE, 120), (NARROW, 80)])
def test_rows_and_titles_fill_the_terminal_exactly(columns: Columns, width: int) -> None:
    board = Board()
    for message in (started(), reading(3.0), agent(3.0)):
        board.receive(message)
    (row,) = lines_of(board.snapshot(T0 + 3.0).calls[0], columns)
    assert sum(segment.cell_length for segment in row) == width
    assert cell_len(text_of(titles(columns))) == width


def test_a_strip_tells_a_minute_at_80_columns_and_two_at_120() -> None:
    assert "last 60 s" in text_of(titles(NARROW))
    assert "last 120 s" in text_of(titles(WIDE))


def test_mood_and_emotion_are_word_and_glyph() -> None:
    row = row_of(started(), reading(3.0), reading(9.0, "anger", "angry"), now_s=9.0)
    assert told(row) == "▲ angry 0:00 ▲ anger 70%"
    row = row_of(started(), reading(3.0), reading(9.0, "sad", "dissatisfied"), now_s=9.0, columns=NARROW)
    assert "▼ dissatisfied ▼ sad     70%" in row


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("silence", "· silent"),
        ("too_little_speech", ": little speech"),
        ("clipped", "# clipped"),
        ("gap", "╳ lost audio"),
        ("uncertain", "? unsure 70%"),
    ],
)
def test_what_is_no_emotion_never_looks_like_calm_or_neutral(state: str, shown: str) -> None:
    heard = [reading(end_s, state=state, mood="unclear") for end_s in (3.0, 6.0, 9.0)]  # type: ignore[arg-type]
    row = row_of(started(), *heard, now_s=9.0)
    assert told(row).endswith(shown)
    assert "neutral" not in row
    assert "calm" not in row
    assert "─" not in row
    assert shown[0] * 3 in row[65:]


def test_a_mood_that_is_long_over_is_told_as_past() -> None:
    row = row_of(started(), reading(3.0), reading(14.0, state="clipped"), now_s=14.0)
    assert told(row) == "# was calm # clipped"


def test_dead_air_is_told_with_its_length() -> None:
    quiet = [reading(20.0, state="silence", share=0.0), agent(20.0)]
    assert told(row_of(started(), reading(3.0), *quiet, now_s=20.0)) == "· was calm · dead air 0:17"


def test_a_call_without_audio_says_so_and_shows_neither_mood_nor_trend() -> None:
    heard = [reading(second, negative=0.2) for second in range(3, 70)]
    row = row_of(started(), *heard, now_s=81.0)
    assert told(row) == "╳ no audio for 0:12"
    assert "calm" not in row
    assert "same" not in row


def test_a_call_that_just_began_listens_and_then_has_no_audio() -> None:
    assert told(row_of(started(), now_s=2.0)) == "… listening"
    assert told(row_of(started(), now_s=6.0)) == "╳ no audio for 0:06"


def test_a_call_that_is_not_scored_has_no_mood() -> None:
    row = row_of(started(scored=()), agent(3.0), reading(3.0, mood=None, state="not_scored"), now_s=3.0)
    assert told(row) == "░ not scored"


def test_a_stopped_pipeline_leaves_no_mood_standing() -> None:
    row = row_of(started(), reading(3.0), agent(3.0, 0.9), now_s=3.0, stopped=True)
    assert told(row) == "╳ stopped"
    assert row.rstrip().endswith("─")


def test_an_open_alert_marks_the_row_and_says_for_how_long() -> None:
    rows = rows_of(started(), reading(31.0, "anger", "angry"), raised(20.0, start_s=10.0), now_s=31.0)
    assert rows[0].startswith("▌ one")
    assert rows[1] == "▌   ! sustained anger for 0:21  critical, customer, since 0:10"


def test_an_alert_says_who_looks_after_it_and_whether_it_is_about_the_whole_call() -> None:
    heard = [started(), reading(31.0, "anger", "angry"), raised(20.0, start_s=10.0)]
    rows = rows_of(*heard, acknowledged(25.0), now_s=31.0)
    assert rows[1] == "▌   ! sustained anger for 0:21  ✓ Maria looks after it  critical, customer, since 0:10"
    whole = structs.replace(raised(20.0, start_s=10.0), about="call")
    assert rows_of(started(), reading(31.0), whole, now_s=31.0)[1].endswith("critical, whole call, since 0:10")


def test_the_chosen_row_is_marked_with_a_glyph_and_the_agent_has_a_column_where_there_is_room() -> None:
    board = Board()
    for message in (started(agent="4711"), reading(3.0)):
        board.receive(message)
    (call,) = board.snapshot(T0 + 3.0).calls
    columns = Columns.of(120, agents=True)
    (row,) = lines_of(call, columns, chosen=True)
    assert text_of(row).startswith(" ▸one")
    assert " 4711 " in text_of(row)
    assert cell_len(text_of(titles(columns))) == sum(segment.cell_length for segment in row) == 120
    assert Columns.of(80, agents=True).agent == 0


def test_further_alerts_are_counted() -> None:
    alerts = [raised(20.0, start_s=10.0), raised(21.0, severity="warning", rule="turning_worse")]
    assert rows_of(started(), reading(31.0), *alerts, now_s=31.0)[1].endswith("since 0:10, and 1 more")


def test_an_ended_call_shows_its_outcome_and_how_long_ago() -> None:
    row = row_of(started(), reading(30.0, "anger", "angry"), ended(31.0, outcome="angry"), now_s=43.0)
    assert told(row) == "▲ angry ended 0:12"


def test_a_call_that_failed_says_why_in_place_of_its_strip() -> None:
    row = row_of(started(), reading(3.0), ended(4.0, reason="error: got 3 channels"), now_s=5.0)
    assert told(row).endswith("failed")
    assert row.rstrip().endswith("error: got 3 channels")


@pytest.mark.parametrize(
    ("later", "word", "glyph"), [(0.9, "↘ worse", "↘"), (0.1, "↗ better", "↗"), (0.5, "→ same", "→")]
)
def test_the_trend_is_told_against_the_first_minute(later: float, word: str, glyph: str) -> None:
    heard = [reading(second, negative=0.5 if second <= 63 else later) for second in range(3, 90)]
    assert word in row_of(started(), *heard, now_s=89.0)
    assert f" {glyph} " in row_of(started(), *heard, now_s=89.0, columns=NARROW)


def test_meters_tell_who_speaks() -> None:
    row = row_of(started(), reading(3.0, share=1.0), agent(3.0, 0.0), now_s=3.0)
    assert row.endswith("· █")
    assert row_of(started(), reading(3.0, share=1.0), now_s=3.0).endswith("  █")


def test_lost_packets_stand_in_the_strip() -> None:
    heard = [reading(3.0), gap(3.0, 6.0), reading(6.0, state="gap"), reading(9.0)]
    assert "─╳─" in row_of(started(), *heard, now_s=9.0)


def test_equal_neighbours_of_a_strip_are_one_segment() -> None:
    board = Board()
    for second in range(1, 121):
        board.receive(reading(second, "anger" if second > 60 else "neutral"))
    (row,) = lines_of(board.snapshot(T0 + 120.0).calls[0], WIDE)
    assert [segment.text for segment in row if segment.text.strip("─▲") == "" and len(segment.text) > 1] == [
        "─" * 20,
        "▲" * 20,
    ]


@pytest.mark.parametrize(
    "name", ["[bold]x", "\x1b[31mred", "two\nlines", "田中さんの長い名前です" * 3, "e\u0301" * 80, "x" * 500]
)
def test_a_name_from_outside_stays_text_and_moves_no_column(name: str) -> None:
    plain_row = row_of(started(), reading(3.0), agent(3.0), now_s=3.0)
    row = row_of(started(name), reading(3.0, call=name), agent(3.0, call=name), now_s=3.0)
    assert cell_len(row) == cell_len(plain_row) == 120
    assert row.isprintable()
    assert row.endswith(plain_row[23:])
    assert "[bold]x" in row or "[bold]" not in name


def test_the_legend_names_the_emotions_first_and_never_exceeds_its_width() -> None:
    assert text_of(legend(80)).split()[:4] == ["▲", "anger", "◆", "disgust"]
    assert all(cell_len(text_of(legend(width))) <= width for width in range(200))
