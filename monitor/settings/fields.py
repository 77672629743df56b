"""What a setting is: its default, unit, range and help; how values come from TOML and the command line, and are checked.

A field is a value (text, number, true or false, a list of texts) or a table of fields, written `[name]` in TOML and
`name.field` on the command line. A table whose default is None switches something on by standing there.
"""

import dataclasses
import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monitor.errors import SettingError


def setting(
    default: Any,
    help: str,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    return dataclasses.field(
        default=default, metadata={"help": help, "unit": unit, "low": low, "high": high, "choices": choices}
    )


def table(kind: type, help: str, always: bool = False) -> Any:
    """A table of settings that is off until it is named; with `always` it switches nothing and has its defaults."""
    return dataclasses.field(default=kind() if always else None, metadata={"help": help, "table": kind})


def _fields(kind: type) -> Mapping[str, "dataclasses.Field[Any]"]:
    return {field.name: field for field in dataclasses.fields(kind)}


def _field(kind: type, name: str, prefix: str = "") -> "dataclasses.Field[Any]":
    fields = _fields(kind)
    if name not in fields:
        near = difflib.get_close_matches(name, fields, n=1, cutoff=0.4)
        cure = f"did you mean {prefix + near[0]!r}?" if near else "`callmood config` lists them"
        raise SettingError(f"unknown setting {prefix + name!r}: {cure}")
    return fields[name]


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"{path}: cannot read the settings file: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"{path}: not a TOML file: {error}; `callmood config` prints one to start from") from error


def override(kind: type, values: dict[str, Any], name: str, text: str) -> None:
    """Puts the value that `text` from the command line stands for where `name` says: `hop_s`, or `table.field`."""
    head, dot, rest = name.partition(".")
    field = _field(kind, head)
    if dot and "table" in field.metadata:
        table = values.setdefault(head, {})
        values[head] = table = dict(table) if isinstance(table, dict) else {}
        table[rest] = parse(_field(field.metadata["table"], rest, f"{head}.").default, text)
    else:
        if dot:
            raise SettingError(f"unknown setting {name!r}: {head} is no table; did you mean {head!r}?")
        values[head] = parse(field.default, text)


def parse(default: Any, text: str) -> Any:
    """The value that `text` stands for where a value like `default` is expected."""
    if isinstance(default, str):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if isinstance(default, tuple):
            return [part.strip() for part in text.split(",") if part.strip()]
        return text


def made(kind: type, values: Mapping[str, Any], prefix: str = "") -> Any:
    return kind(**{name: _check(_field(kind, name, prefix), value, prefix) for name, value in values.items()})


def _check(field: "dataclasses.Field[Any]", value: Any, prefix: str) -> Any:
    """`value` as the field holds it. Raises SettingError with what was got and what was expected."""
    name, meta = prefix + field.name, field.metadata
    default: Any = field.default
    if "table" in meta:
        if not isinstance(value, dict):
            raise SettingError(f"{name} must be a table, got {value!r}: write [{name}] above its settings")
        return made(meta["table"], value, f"{name}.")
    if isinstance(default, tuple):
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise SettingError(f'{name} must be a list of texts, got {value!r}: for example {name} = ["one", "two"]')
        if wrong := [part for part in value if meta["choices"] and part not in meta["choices"]]:
            raise SettingError(f"{name} must be of {', '.join(meta['choices'])}, got {wrong[0]!r}")
        return tuple(value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not type(default):
        raise SettingError(f"{name} must be {_TYPES[type(default)]}, got {value!r}")
    low, high = meta["low"], meta["high"]
    if low is not None and not low <= value <= high:
        unit = f" {meta['unit']}" if meta["unit"] else ""
        raise SettingError(f"{name} must be within {low:g}..{high:g}{unit}, got {value:g}")
    if meta["choices"] and value not in meta["choices"]:
        raise SettingError(f"{name} must be one of {', '.join(meta['choices'])}, got {value!r}")
    if name == "hop_s" and value % 0.25:
        raise SettingError(f"hop_s must be a multiple of 0.25 s, got {value:g}")
    return value


_TYPES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text in quotes"}


def toml_entries(values: Any) -> Iterator[str]:
    """The plain settings, then the tables: one that is off is commented out, so that it stays off when read back."""
    tables = []
    for field in dataclasses.fields(values):
        if "table" in field.metadata:
            tables.append(field)
        else:
            yield _toml_entry(field, getattr(values, field.name))
    for field in tables:
        table = getattr(values, field.name)
        text = f"[{field.name}]\n" + "\n".join(toml_entries(table or field.metadata["table"]()))
        if table is None:
            text = "".join(f"# {line}\n" if line else "#\n" for line in text.splitlines())
        yield f"# {field.metadata['help']}\n{text}"


def _toml_entry(field: "dataclasses.Field[Any]", value: Any) -> str:
    meta = field.metadata
    span = f"; {meta['low']:g}..{meta['high']:g}" if meta["low"] is not None else ""
    unit = f" [{meta['unit']}]" if meta["unit"] else ""
    choices = f"; one of {', '.join(meta['choices'])}" if meta["choices"] else ""
    return f"# {meta['help']}{unit}{span}{choices}\n{field.name} = {_toml_value(value)}\n"


def _toml_value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case tuple():
            return f"[{', '.join(map(_toml_value, value))}]"
        case _:
            return repr(value)


def changed_values(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(values):
        value = getattr(values, field.name)
        if "table" not in field.metadata:
            if value != field.default:
                yield prefix + field.name, value
        elif value != field.default:
            if field.default is None:
                yield prefix + field.name, "on"
            yield from changed_values(value, f"{prefix}{field.name}.")
