"""Moments as people write them: a day, a time, or how long ago. Pure."""

import re
from datetime import datetime

from monitor.errors import SettingError

_AGO = re.compile(r"(\d+(?:\.\d+)?) ?(s|m|h|d|w)")
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}


def moment(text: str, now_s: float, option: str) -> float:
    """`2026-11-24`, `2026-11-24T09:30`, with or without a time zone (else this machine's), or `2h` before `now_s`.

    Unix seconds. Raises SettingError, which names the `option` that it is for.
    """
    ago = _AGO.fullmatch(text.strip())
    if ago is not None:
        return now_s - float(ago[1]) * _UNIT_S[ago[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError):
        expected = "expected a day (2026-11-24), a time (2026-11-24T09:30), or how long ago (90s, 30m, 2h, 7d)"
        raise SettingError(f"{option} {text!r} is no moment: {expected}") from None
