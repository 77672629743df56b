"""Alert rules from TOML, a table a rule; whatever is wrong is refused with file, line, what was expected and the cure."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from monitor.alerts.rules import Rule, RuleError, made, nearest
from monitor.errors import SettingError

DEFAULT_FILE = Path(__file__).with_name("default_rules.toml")
"""The rules that come with callmood."""
MOST_RULES = 50
MOST_BYTES = 100_000

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_START = "`callmood alerts rules` prints a set to start from"
_AT = re.compile(r"\s*\(at (?:line (?P<line>\d+), column \d+|end of document)\)")
_DECLARED_TWICE = re.compile(r"Cannot declare \('(?P<name>[^']*)',\) twice")


@cache
def default_rules() -> tuple[Rule, ...]:
    """The rules that come with callmood."""
    return read_rules(DEFAULT_FILE)


def load_rules(path: str) -> tuple[Rule, ...]:
    """The rules in the file at `path`; the default ones where it is empty. Raises SettingError."""
    return read_rules(Path(path)) if path else default_rules()


def read_rules(path: Path) -> tuple[Rule, ...]:
    """The rules in a file, in its order. Raises SettingError, one line, for the first mistake."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingError(f"{path}: cannot read the rules: {error.strerror or error}; {_START}") from error
    if len(content) > MOST_BYTES:
        raise SettingError(
            f"{path}: {len(content)} bytes, expected at most {MOST_BYTES}: is it a file of rules? {_START}"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingError(f"{path}:{line}: not UTF-8 ({error.reason}): save the file as UTF-8") from error
    return parse_rules(text, str(path))


def parse_rules(text: str, name: str) -> tuple[Rule, ...]:
    """The rules in `text`, in its order; `name` stands for the file in errors. Raises SettingError."""
    return _Reader(text, name).rules()


class _Reader:
    """One file while it is read."""

    def __init__(self, text: str, file: str) -> None:
        self._text, self._file = text, file

    def rules(self) -> tuple[Rule, ...]:
        tables = self._parse()
        if not tables:
            self._fail(f"no rule in it: expected a table such as [sustained_anger]; {_START}")
        if len(tables) > MOST_RULES:
            self._fail(f"{len(tables)} rules, expected at most {MOST_RULES}: leave some out")
        rules = [self._rule(name, table) for name, table in tables.items()]
        for rule in rules:
            self._check_others(rule, {other.name: other for other in rules})
        return tuple(rules)

    def _parse(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            at = _AT.search(str(error))
            line = int(at["line"]) if at and at["line"] else self._text.count("\n") + 1
            if twice := _DECLARED_TWICE.search(str(error)):
                told = f"a second rule {twice['name']!r}: expected each name once; give one of them another name"
            else:
                told = f"not TOML: {_AT.sub('', str(error))}; {_START}"
            raise SettingError(f"{self._file}:{line}: {told}") from error

    def _rule(self, name: str, table: Any) -> Rule:
        if not isinstance(table, dict):
            self._fail(
                f"{name!r} is {_kind(table)}, expected a table a rule: write [{_as_name(name)}] above its keys", name
            )
        if not _NAME.fullmatch(name):
            self._fail(
                f"rule name {name!r}: expected at most 40 small letters, digits and _, a letter first: "
                f"write [{_as_name(name)}]",
                name,
            )
        try:
            return made(name, table)
        except RuleError as fault:
            self._fail(f"{name}: {fault}", name, fault.key)

    def _check_others(self, rule: Rule, rules: Mapping[str, Rule]) -> None:
        """That the rules which `rule` names are there, and can be what it takes them for."""
        named = [("after", rule.after)] if rule.after else []
        for key, other in [*named, *(("unless", other) for other in rule.unless)]:
            if other == rule.name:
                self._fail(
                    f"{rule.name}: {key} names the rule itself: name another one, or leave it out", rule.name, key
                )
            if other not in rules:
                cure = nearest(other, rules, f"this file has {', '.join(rules)}")
                self._fail(f"{rule.name}: {key} names {other!r}, which is no rule of this file: {cure}", rule.name, key)
            if rules[other].about_call:
                told = f"{key} names {other!r}, which is about the call and not a party"
                self._fail(f"{rule.name}: {told}: name a rule that measures score or rise", rule.name, key)
            if key == "after" and rules[other].after:
                told = f"after names {other!r}, which itself comes after {rules[other].after!r}"
                self._fail(f"{rule.name}: {told}: name that one", rule.name, key)

    def _fail(self, text: str, *keys: str) -> NoReturn:
        where = [key for key in keys if key]
        line = f":{_line_of(self._text, where)}" if where else ""
        raise SettingError(f"{self._file}{line}: {text}")


def _line_of(text: str, keys: Sequence[str]) -> int:
    """The line on which the value at `keys` begins, from 1.

    tomllib tells no positions, but what begins on a line is complete at the end of some line: of the beginnings of the text
    that are TOML by themselves, the first with the key ends where its value ends, and the one before where it begins.
    """
    lines = text.split("\n")
    begins = 1
    for number in range(1, len(lines) + 1):
        try:
            found: Any = tomllib.loads("\n".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        if found is not None:
            return begins
        begins = number + 1
    return begins


def _kind(value: Any) -> str:
    return "a list of tables" if isinstance(value, list) and value and isinstance(value[0], dict) else repr(value)


def _as_name(text: str) -> str:
    """A rule's name that is like `text`."""
    plain = re.sub(r"[^a-z0-9_]+", "_", text.lower()).strip("_")[:40]
    return plain if _NAME.fullmatch(plain) else "sustained_anger"
