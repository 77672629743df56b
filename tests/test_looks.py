import unicodedata
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from monitor.dashboard.looks import METER, MOODS, SEVERITIES, TONES, clock, fit, in_ascii, plain, words
from monitor.messages import LABELS, STATES, Severity
from monitor.messages import MOODS as MOOD_NAMES


def test_every_emotion_state_mood_and_severity_has_a_look() -> None:
    assert set(TONES) == {*LABELS, *STATES}
    assert set(MOODS) == set(MOOD_NAMES)
    assert set(SEVERITIES) == set(get_args(Severity))


def test_no_two_tones_share_a_glyph_or_a_word_so_that_colour_is_not_needed() -> None:
    shown = [look for tone, look in TONES.items() if tone != "speech"]
    assert len({look.glyph for look in shown}) == len({look.word for look in shown}) == len(shown)
    assert len({look.glyph for look in MOODS.values()}) == len(MOODS)


def test_every_glyph_is_one_cell_wide() -> None:
    for look in (*TONES.values(), *MOODS.values(), *SEVERITIES.values()):
        assert cell_len(look.glyph) == len(look.glyph) == 1


def test_colours_are_the_terminals_sixteen() -> None:
    for look in (*TONES.values(), *MOODS.values(), *SEVERITIES.values()):
        assert look.style.color is None or (look.style.color.number or 0) < 16


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[bold]x[/bold]", "[bold]x[/bold]"),
        ("\x1b[31mred\x1b[0m", "�[31mred�[0m"),
        ("a\nb\r\tc", "a�b��c"),
        ("\x9b31m", "�31m"),
        ("abc\u202edef", "abc�def"),
        ("line\u2028end", "line�end"),
        ("bad\udcffname", "bad�name"),
        ("e\u0301", "é"),
        ("a" + "\u0316" * 40, "a\u0316\u0316"),
        ("Müller 田中", "Müller 田中"),
        ("♥\ufe0f", "♥"),
    ],
)
def test_outside_text_is_shown_as_text(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text())
def test_no_control_or_format_character_survives(text: str) -> None:
    assert all(unicodedata.category(character)[0] != "C" for character in plain(text))
    plain(text).encode("utf-8")


@given(st.text(), st.integers(0, 60))
def test_fitted_text_has_exactly_its_width(text: str, width: int) -> None:
    assert cell_len(fit(plain(text), width)) == width


def test_long_text_is_cut_with_an_ellipsis_and_short_text_padded() -> None:
    assert (fit("abcdef", 4), fit("ab", 4), fit("田中さん", 6)) == ("abc…", "ab  ", "田中 …")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "0:00"), (-3.0, "0:00"), (59.99, "0:59"), (60.0, "1:00"), (5_999.0, "99:59"), (7_500.0, "2h05m")],
)
def test_durations_are_short(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_names_of_the_contract_become_words() -> None:
    assert words("sustained_anger") == "sustained anger"


def test_in_ascii_no_two_emotions_and_no_two_steps_of_a_meter_look_alike() -> None:
    glyphs = [look.glyph for tone, look in TONES.items() if tone != "speech"]
    for shown in (glyphs, METER, "→↘↗", [look.glyph for look in MOODS.values()]):
        assert len({in_ascii(glyph, "ascii") for glyph in shown}) == len(shown)
    assert all(in_ascii(glyph, "ascii").isascii() for glyph in [*glyphs, *METER, *"▌▸▾✓→↘↗↑↓…━█�"])


@given(st.text())
def test_text_keeps_its_width_in_a_terminal_without_unicode(text: str) -> None:
    shown = in_ascii(plain(text), "iso-8859-1")
    assert cell_len(shown) == cell_len(plain(text))
    shown.encode("iso-8859-1")


def test_a_terminal_with_unicode_gets_all_of_it() -> None:
    assert in_ascii("▲ 田", "UTF-8") == in_ascii("▲ 田", "utf8") == "▲ 田"
