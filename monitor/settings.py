"""Every setting once: its default, unit, range and help. The command line, `callmood config` and TOML files derive from it."""

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.errors import SettingError


def _setting(
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


@dataclass(frozen=True)
class Settings:
    """How a node listens, reads and tells. Make one with `load`, which checks types and ranges."""

    node: str = _setting("callmood", "name of this node, in `hello`")
    model: str = _setting("", "path of the model file; empty: the one that comes with callmood")

    window_s: float = _setting(3.0, "length of a window; the model's own", "s", 3.0, 3.0)
    hop_s: float = _setting(0.5, "from one reading of a party to the next, in steps of 0.25", "s", 0.25, 3.0)
    max_lost_s: float = _setting(
        0.5, "a window that lost more audio than this is not scored: state `gap`", "s", 0.0, 3.0
    )
    min_speech_s: float = _setting(0.5, "a window with less speech than this is not scored", "s", 0.1, 3.0)

    score_agent: bool = _setting(False, "read the agent's emotion too; the law of your country may forbid it")
    score_mixed: bool = _setting(False, "read the emotion of a single channel that mixes both parties")

    smooth_s: float = _setting(
        3.0, "time constant over which scores are averaged into the rolling label", "s", 0.0, 30.0
    )
    mood_s: float = _setting(20.0, "how much of a party's last speech its mood rests on", "s", 3.0, 120.0)
    outcome_s: float = _setting(30.0, "how much of the last speech a call's outcome rests on", "s", 3.0, 300.0)

    host: str = _setting(
        "127.0.0.1", "address that the websocket listens on", choices=("127.0.0.1", "::1", "localhost")
    )
    port: int = _setting(8765, "port of the websocket; 0 takes any free one", "", 0, 65_535)
    backlog: int = _setting(
        512, "messages kept for a slow subscriber; older ones are dropped and counted", "messages", 16, 65_536
    )

    queue_s: float = _setting(
        10.0, "audio that may wait for scoring, a party on average, before the oldest is dropped", "s", 1.0, 60.0
    )
    max_calls: int = _setting(1_000, "calls at once; further ones are refused", "calls", 1, 100_000)

    @classmethod
    def load(cls, path: Path | None = None, overrides: Iterable[str] = ()) -> "Settings":
        """Defaults, then the TOML file at `path`, then `NAME=VALUE` overrides. Raises SettingError."""
        values = _read_toml(path) if path else {}
        for override in overrides:
            name, equals, text = override.partition("=")
            if not equals:
                raise SettingError(f"--set takes NAME=VALUE, got {override!r}: for example --set hop_s=1.0")
            values[name.strip()] = _parse(name.strip(), text.strip())
        return cls(**{name: _check(name, value) for name, value in values.items()})

    def to_toml(self) -> str:
        """Every setting with its help, unit and range, as TOML that `load` reads back to an equal value."""
        return "\n".join(_toml_entry(field, getattr(self, field.name)) for field in dataclasses.fields(self))

    def changed(self) -> dict[str, Any]:
        """The settings that differ from their defaults, by name."""
        return {f.name: v for f in dataclasses.fields(self) if (v := getattr(self, f.name)) != f.default}


_FIELDS: Mapping[str, "dataclasses.Field[Any]"] = {field.name: field for field in dataclasses.fields(Settings)}


def _field(name: str) -> "dataclasses.Field[Any]":
    if name not in _FIELDS:
        near = difflib.get_close_matches(name, _FIELDS, n=1, cutoff=0.4)
        cure = f"did you mean {near[0]!r}?" if near else "`callmood config` lists them"
        raise SettingError(f"unknown setting {name!r}: {cure}")
    return _FIELDS[name]


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"{path}: cannot read the settings file: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"{path}: not a TOML file: {error}; `callmood config` prints one to start from") from error


def _parse(name: str, text: str) -> Any:
    """The value that `text` from the command line stands for, by the setting's type."""
    default = _field(name).default
    if isinstance(default, str):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _check(name: str, value: Any) -> Any:
    field = _field(name)
    default: Any = field.default
    meta = field.metadata
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


def _toml_entry(field: "dataclasses.Field[Any]", value: Any) -> str:
    meta = field.metadata
    span = f"; {meta['low']:g}..{meta['high']:g}" if meta["low"] is not None else ""
    unit = f" [{meta['unit']}]" if meta["unit"] else ""
    choices = f"; one of {', '.join(meta['choices'])}" if meta["choices"] else ""
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, str):
        text = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    else:
        text = repr(value)
    return f"# {meta['help']}{unit}{span}{choices}\n{field.name} = {text}\n"
