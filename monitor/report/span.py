"""Which time a summary is of, in the time zone of this machine. Pure."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from monitor.errors import SettingError
from monitor.history.period import moment

_DAY = timedelta(days=1)


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
    """The day `since`, or from that moment to `now`; or to `until`, a day to its end.

    Moments as `monitor.history.period` reads them, `today` and `yesterday`. `now`: with a time zone. Raises SettingError.
    """
    first, whole = _moment(since, now, "--since")
    last = first if whole else now
    if until is not None:
        last, whole = _moment(until, now, "--until")
    last = _midnight(last.date() + _DAY) if whole else last
    if last <= first and until is None:
        raise SettingError(f"--since {since!r} is yet to come, expected a day or a moment that is over")
    if last <= first:
        raise SettingError(f"--until must be after --since, got {until!r} and {since!r}")
    return Span(first, last)


def _moment(text: str, now: datetime, option: str) -> tuple[datetime, bool]:
    """The moment that `text` names, and whether it is a day as a whole."""
    named = {"today": now.date(), "yesterday": now.date() - _DAY}
    try:
        day = named.get(text.lower()) or (date.fromisoformat(text) if len(text) == len("2026-01-31") else None)
    except ValueError:
        day = None
    if day is not None:
        return _midnight(day), True
    return datetime.fromtimestamp(moment(text, now.timestamp(), option)).astimezone(), False


def _midnight(day: date) -> datetime:
    """The beginning of `day` here, by the rules of that day."""
    return datetime.combine(day, time.min).astimezone()


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"
