"""What an alert rule says. A rule's values are frozen and checked; where they come from is `monitor.alerts.rulefile`.

Every measure is a number that follows the call, and every rule is the same question about it: has it been at `raise_at` or
more for `raise_for_s`, and, once raised, at `clear_at` or less for `clear_for_s`.
"""

import dataclasses
import difflib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from monitor.errors import SettingError
from monitor.messages import LABELS, PARTIES, SEVERITIES, Label, Party, Severity

Measure = Literal["score", "rise", "silence"]
Expected = Label | Literal["silence"]
"""What a stretch of a call may be labelled with; `silence` where nobody speaks."""

SUSTAINED_ANGER = "sustained_anger"
"""The rule of this name also decides a call's outcome, keeps the caller's baseline still, and lets calm be `satisfied`."""


def _key(
    help: str,
    default: Any = dataclasses.MISSING,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    metadata = {"help": help, "unit": unit, "low": low, "high": high, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When an alert is raised and when it clears. Make one with `made`, which checks types, ranges and sense."""

    name: str
    measure: Measure = _key(
        "`score`: the labels' smoothed probabilities together; `rise`: that less the mean of the party's own first minute; "
        "`silence`: share of the last window in which nobody speaks",
        choices=("score", "rise", "silence"),
    )
    labels: tuple[Label, ...] = _key("emotions that count together; not with `silence`", (), choices=LABELS)
    severity: Severity = _key("how urgent it is", choices=SEVERITIES)
    raise_at: float = _key("raised when the measure is this or more …", unit="share", low=0.01, high=1.0)
    raise_for_s: float = _key("… for so long: of speech, or of the call with `silence`", unit="s", low=0.25, high=600.0)
    clear_at: float = _key("cleared when the measure is this or less …", unit="share", low=0.0, high=1.0)
    clear_for_s: float = _key("… for so long", unit="s", low=0.25, high=600.0)
    cooldown_s: float = _key("after it has cleared, the rule rests for so long", 0.0, "s", 0.0, 3_600.0)
    open_for_s: float = _key("it clears by itself after so long; 0: never", 0.0, "s", 0.0, 3_600.0)
    not_before_s: float = _key(
        "it does not look at a voice before so much of its speech was scored; not with `silence`", 0.0, "s", 0.0, 600.0
    )
    parties: tuple[Party, ...] = _key(
        "whose voice it looks at, as far as that is scored; not with `silence`",
        ("customer", "mixed", "agent"),
        choices=PARTIES,
    )
    after: str = _key("raised only after the alert of this rule has cleared, and once for each time; empty: always", "")
    within_s: float = _key("with `after`: how long after that", 60.0, "s", 1.0, 3_600.0)
    unless: tuple[str, ...] = _key("rules; while an alert of one of them is open, this one is not raised", ())
    expected_on: tuple[Expected, ...] = _key(
        "labels of the stretches on which `callmood alerts try --labels` expects it", (), choices=(*LABELS, "silence")
    )

    @property
    def about_call(self) -> bool:
        """Whether it looks at the parties together."""
        return self.measure == "silence"


class RuleError(SettingError):
    """A rule that cannot hold."""

    def __init__(self, text: str, key: str = "") -> None:
        super().__init__(text)
        self.key = key
        """The key that is wrong; empty where it is the rule as a whole."""


def keys() -> Mapping[str, "dataclasses.Field[Any]"]:
    """What a rule's table may hold, in order."""
    return {field.name: field for field in dataclasses.fields(Rule) if field.name != "name"}


def made(name: str, values: Mapping[str, Any]) -> Rule:
    """The rule that a table of values says. Raises RuleError."""
    for key in values:
        if key not in keys():
            raise RuleError(f"unknown key {key!r}: {nearest(key, keys(), 'a rule has ' + ', '.join(keys()))}", key)
    for key, field in keys().items():
        if field.default is dataclasses.MISSING and key not in values:
            raise RuleError(f"{key} is missing: {field.metadata['help']}; write {key} = {_example(field)}")
    rule = Rule(name=name, **{key: _checked(keys()[key], value) for key, value in values.items()})
    _check_sense(rule, values)
    return rule


def nearest(word: str, known: Collection[str], otherwise: str) -> str:
    """A cure for a misspelt word."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else otherwise


def _checked(field: "dataclasses.Field[Any]", value: Any) -> Any:
    """`value` as the field holds it."""
    key, meta = field.name, field.metadata
    if isinstance(field.default, tuple):
        return _texts(key, value, meta["choices"])
    if meta["low"] is not None:
        return _number(key, value, meta)
    if not isinstance(value, str):
        raise RuleError(f"{key} must be a text in quotes, got {value!r}: write {key} = {_example(field)}", key)
    if meta["choices"] and value not in meta["choices"]:
        known = ", ".join(meta["choices"])
        raise RuleError(
            f"{key} must be one of {known}, got {value!r}: {nearest(value, meta['choices'], 'choose one')}", key
        )
    return value


def _number(key: str, value: Any, meta: Mapping[str, Any]) -> float:
    low, high, unit = meta["low"], meta["high"], meta["unit"]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RuleError(
            f"{key} must be a number, got {value!r}: write it without quotes and unit, in {_UNITS[unit]}", key
        )
    if not low <= value <= high:
        cure = f"it is in {_UNITS[unit]}"
        if unit == "share" and 1 < value <= 100:
            cure = f"write {value / 100:g} for {value:g} %"
        elif unit == "s" and 1_000 <= value < math.inf:
            cure = f"it is in seconds: write {value / 1_000:g} for {value:g} ms"
        raise RuleError(f"{key} must be within {low:g}..{high:g}, got {value:g}: {cure}", key)
    return float(value)


_UNITS = {"share": "shares of 1", "s": "seconds"}


def _texts(key: str, value: Any, choices: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        example = f'["{choices[0]}"]' if choices else '["sustained_anger"]'
        raise RuleError(f"{key} must be a list of texts, got {value!r}: write {key} = {example}", key)
    for part in value:
        if choices and part not in choices:
            known = ", ".join(choices)
            raise RuleError(
                f"{key} must be of {known}, got {part!r}: {nearest(part, choices, 'choose among these')}", key
            )
        if value.count(part) > 1:
            raise RuleError(f"{key} names {part!r} twice: name each once", key)
    return tuple(value)


def _check_sense(rule: Rule, given: Collection[str]) -> None:
    """What the keys say together."""
    if rule.clear_at >= rule.raise_at:
        told = f"clear_at must be under raise_at ({rule.raise_at:g}), got {rule.clear_at:g}"
        raise RuleError(f"{told}: lower it, or one score would raise and clear the alert in turn", "clear_at")
    if rule.about_call:
        for key in ("labels", "not_before_s", "parties", "after", "unless"):
            if key in given:
                raise RuleError(
                    f'{key} means nothing with measure = "silence", which is of the call: leave it out', key
                )
    elif not rule.labels:
        key = "labels" if "labels" in given else ""
        raise RuleError(
            f'labels is empty or missing, measure = "{rule.measure}" needs some: write labels = ["anger"]', key
        )
    elif not rule.parties:
        raise RuleError(
            'parties is empty: the rule would look at nobody; write parties = ["customer"] or leave it out', "parties"
        )
    if "within_s" in given and not rule.after:
        raise RuleError(
            'within_s means nothing without after: name the rule, such as after = "sustained_anger"', "within_s"
        )
    if rule.name == SUSTAINED_ANGER and (rule.measure != "score" or "anger" not in rule.labels):
        told = (
            f'{SUSTAINED_ANGER} also decides the outcome of calls: expected measure = "score" with labels = ["anger"]'
        )
        raise RuleError(f"{told}; give another rule another name", "labels" if rule.measure == "score" else "measure")


def _example(field: "dataclasses.Field[Any]") -> str:
    """A value that such a key may have, as TOML."""
    if field.metadata["choices"]:
        return f'"{field.metadata["choices"][0]}"'
    if field.metadata["low"] is None:
        return f'"{SUSTAINED_ANGER}"'
    return "0.5" if field.metadata["unit"] == "share" else "5"
