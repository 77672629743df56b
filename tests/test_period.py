import time

import pytest

from monitor.errors import SettingError
from monitor.history.period import moment


@pytest.mark.parametrize(
    ("text", "ago_s"), [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("7d", 604_800), ("1.5 h", 5_400), ("1w", 604_800)]
)
def test_how_long_ago(text: str, ago_s: float) -> None:
    assert moment(text, 1e9, "--since") == 1e9 - ago_s


@pytest.mark.parametrize(
    ("text", "unix_s"),
    [("2026-11-24T09:30Z", 1_795_512_600.0), ("2026-11-24T09:30:00+02:00", 1_795_505_400.0)],
)
def test_a_time_with_its_zone(text: str, unix_s: float) -> None:
    assert moment(text, 0.0, "--since") == unix_s


def test_a_day_begins_at_midnight_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Etc/GMT-2")
    time.tzset()
    try:
        assert moment("2026-11-24", 0.0, "--since") == 1_795_478_400.0 - 7_200
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2y", "-2h", "0001-01-01"])
def test_anything_else_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(SettingError) as caught:
        moment(text, 0.0, "--before")
    expected = "expected a day (2026-11-24), a time (2026-11-24T09:30), or how long ago (90s, 30m, 2h, 7d)"
    assert str(caught.value) == f"--before {text!r} is no moment: {expected}"
