"""Secrets that other systems share with us: from a file that nobody else may read, or from the environment."""

import hmac
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from monitor.tokens import read_secret


def secrets_from(path: str, variable: str, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The lines of the file at `path`, where it is named, else of the environment's `variable`; empty without either.

    Every line counts, so that an old and a new secret can both hold for a while; empty lines and those that begin with
    `#` do not. Raises SettingError for a file that others can read.
    """
    text = read_secret(Path(path)).decode(errors="replace") if path else environment.get(variable, "")
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def shows_one(shown: Iterable[str], tokens: Iterable[str]) -> bool:
    """Whether one of the `shown` texts is one of `tokens`; how long it takes tells nothing."""
    known = [_bytes(token) for token in tokens]
    matches = [hmac.compare_digest(_bytes(one), token) for one in shown for token in known]
    return any(matches)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
