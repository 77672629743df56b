"""Which time a summary is of, in the time zone of this machine. Pure."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from monitor.errors import SettingError

_DAY = timedelta(days=1)
_EXPECTED = "a day as 2026-01-31, today or yesterday, or a time as 2026-01-31T14:30"


@dataclass(frozen=True, slots=True)
class Span:
    """From a moment on, up to another."""

    since: datetime
    until: datetime
    """Itself not included."""

    @property
    def name(self) -> str:
        """For people: `25 November 2026`, or from when to when."""
        last = self.until - timedelta(microseconds=1)
        if self.since.time() == self.until.time() == datetime.min.time():
            days = _day(self.since), _day(last)
            return days[0] if self.since.date() == last.date() else f"{days[0]} to {days[1]}"
        return f"{_day(self.since)}, {self.since:%H:%M} to {_day(self.until)}, {self.until:%H:%M}"


def span(since: str, until: str | None, now: datetime) -> Span:
    """From `since` to the end of that day, or to `until`: a day is meant to its end. `now`: with a time zone. Raises
    SettingError."""
    first, _ = _moment(since, now, "--since")
    last, whole = (first, True) if until is None else _moment(until, now, "--until")
    last = _midnight(last.date() + _DAY) if whole else last
    if last <= first:
        raise SettingError(f"--until must be after --since, got {until!r} and {since!r}")
    return Span(first, last)


def _moment(text: str, now: datetime, option: str) -> tuple[datetime, bool]:
    """The moment that `text` names, and whether it is a day as a whole."""
    named = {"today": now.date(), "yesterday": now.date() - _DAY}
    try:
        day = named.get(text.lower()) or (date.fromisoformat(text) if len(text) == len("2026-01-31") else None)
        return _midnight(day) if day else datetime.fromisoformat(text).astimezone(), day is not None
    except ValueError as error:
        raise SettingError(f"{option} takes {_EXPECTED}, got {text!r}") from error


def _midnight(day: date) -> datetime:
    """The beginning of `day` here, by the rules of that day."""
    return datetime.combine(day, time.min).astimezone()


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"
