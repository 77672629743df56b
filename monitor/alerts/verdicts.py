"""A trial of rules in words and as JSON. Pure."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from monitor.alerts.trial import Firing, Fit, Trial
from monitor.dashboard.looks import clock, plain


def lines(trial: Trial, results: Sequence[Fit], labelled: Collection[str]) -> Iterator[str]:
    """Every alert, call by call, a table of the rules, and what the table rests on. `labelled`: the calls with labels."""
    for firing in _in_order(trial):
        yield _firing(firing)
    if trial.firings:
        yield ""
    compared = len(trial.durations_s.keys() & set(labelled))
    yield from _table(results, with_labels=compared > 0)
    yield ""
    told = f"{_count(len(trial.durations_s), 'call')}, {clock(3600 * trial.hours)} of call time"
    yield f"{told}, {compared} of them labelled" if labelled else told


def as_json(trial: Trial, results: Sequence[Fit], labelled: Collection[str]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "calls": [
            {"call": call, "duration_s": duration_s, "labelled": call in labelled}
            for call, duration_s in sorted(trial.durations_s.items())
        ],
        "hours": round(trial.hours, 4),
        "alerts": [
            {
                "call": firing.call,
                "rule": firing.rule.name,
                "severity": firing.rule.severity,
                "party": firing.party,
                "about": "call" if firing.rule.about_call else "party",
                "start_s": firing.start_s,
                "raised_s": firing.raised_s,
                "cleared_s": firing.cleared_s,
                "evidence": firing.evidence,
            }
            for firing in _in_order(trial)
        ],
        "rules": [
            {
                "rule": fit.rule.name,
                "raised": fit.raised,
                "an_hour": round(fit.an_hour, 2),
                "judged": fit.judged,
                "right": fit.right,
                "expected": fit.expected,
                "hit": fit.hit,
                "precision": fit.precision,
                "recall": fit.recall,
                "median_time_s": fit.median_time_s,
            }
            for fit in results
        ],
    }


def _in_order(trial: Trial) -> list[Firing]:
    """By name of call: recordings that are played side by side end in any order."""
    return sorted(trial.firings, key=lambda firing: (firing.call, firing.raised_s))


def _firing(firing: Firing) -> str:
    whose = "call" if firing.rule.about_call else firing.party
    until = f"to {clock(firing.cleared_s)}" if firing.cleared_s is not None else "to the end"
    held = f"since {clock(firing.start_s)}, {_count(len(firing.evidence), 'reading')}, open {until}"
    return f"{clock(firing.raised_s):>8}  {plain(firing.call):<20}  {firing.rule.name} ({firing.rule.severity}, {whose}): {held}"


def _table(results: Sequence[Fit], with_labels: bool) -> Iterator[str]:
    rows = [["rule", "raised", "an hour", *(["precision", "recall", "median time to alert"] if with_labels else [])]]
    for fit in results:
        row = [fit.rule.name, str(fit.raised), f"{fit.an_hour:.1f}"]
        if with_labels:
            time = "-" if fit.median_time_s is None else f"{fit.median_time_s:.1f} s"
            row += [_share(fit.precision, fit.right, fit.judged), _share(fit.recall, fit.hit, fit.expected), time]
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        yield "  ".join([name.ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells, widths[1:], strict=True))])


def _share(value: float | None, part: int, whole: int) -> str:
    return "-" if value is None else f"{value:.2f} ({part} of {whole})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
