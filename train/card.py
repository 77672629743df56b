"""The model card's figures: what stands between two marks of MODEL_CARD.md is written from evaluation.json."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from train.corpus import CorpusError

BEGIN, END = "<!-- figures, written by `python -m train evaluate` -->", "<!-- end of the figures -->"

CONDITION_WORDS = {
    "clean": "as recorded, 8 kHz",
    "mulaw": "G.711 µ-law at -26 dBFS",
    "alaw": "G.711 A-law at -26 dBFS",
    "gated": "pauses gated to digital silence",
    "floor_20": "gated, then pink noise 20 dB under the voice",
    "floor_10": "gated, then pink noise 10 dB under the voice",
    "snr_25": "pink noise 25 dB under the voice",
    "snr_20": "pink noise 20 dB under the voice",
    "snr_10": "pink noise 10 dB under the voice",
    "snr_5": "pink noise 5 dB under the voice",
    "loss_5": "5 % of the packets lost",
    "loss_10": "10 % of the packets lost",
    "gain_up_12": "12 dB louder",
    "gain_down_12": "12 dB softer",
}

ABLATIONS = """\
One thing at a time (`python -m train ablations`): short trainings of {epochs} epochs, alike but for what the row says. They
show large differences only, nothing of the network that ships. The network ({network}) alone, without baseline or
calibration, on {clips} clips of {actors} actors ({split}), none of them fitted on but in the row that leaks. Differences are
to the first row, their intervals 95 % by bootstrap over the same actors for both. What chance does in a training is not in
these intervals: the row with another seed shows it.

"""


def card_figures(report: Mapping[str, Any]) -> str:
    """The card's figures in Markdown, from what evaluation.json holds."""
    return "\n".join(_lines(report))


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"{report['clips']} clips of {report['actors']} actors ({report['protocol']}). {report['parameters']:,} parameters,"
    yield f"{report['mflop']:g} MFLOP a window. In brackets: 95 % intervals, bootstrap over actors."
    yield ""
    yield "| condition | UAR | accuracy | the surest 60 %: accuracy, percentage points above all | ECE | labels changed, % |"
    yield "|---|---|---|---|---|---|"
    for name, row in report["conditions"].items():
        figures = (
            _spanned(row, "uar"),
            f"{row['accuracy']:.3f}",
            _spanned(row, "gain_60", 1, 100),
            f"{row['ece']:.3f}",
        )
        yield f"| {CONDITION_WORDS.get(name, name)} | {' | '.join(figures)} | {_spanned(row, 'changed', 1, 100)} |"
    yield ""
    chance = report["ece_by_chance"]
    span = f"{chance['mean']:.3f} ({chance['low']:.3f} to {chance['high']:.3f})"
    yield f"Expected calibration error before calibration: {report['ece_uncalibrated']:.3f}. Of as many clips, a model that is"
    yield f"exactly as often right as it is sure would show {span} by chance, were the clips independent."
    yield f"Recall: {_pairs(report['recall'])}."
    yield from _groups(report)
    yield from _calls(report["pseudo_calls"])
    yield from _calm(report["calm_calls"] or {})
    yield from _beside(report["beside"] or {})
    yield from _ablations(report.get("ablations") or {})


def _spanned(row: Mapping[str, Any], name: str, digits: int = 3, times: float = 1.0) -> str:
    """A figure with its interval."""
    if row[name] is None:
        return "not measured"
    value, low, high = (f"{times * row[key]:.{digits}f}" for key in (name, f"{name}_low", f"{name}_high"))
    return f"{value} ({low} to {high})"


def _pairs(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in values.items())


def _groups(report: Mapping[str, Any]) -> Iterator[str]:
    groups = {**report["sexes_mulaw"], **report["ages_mulaw"]}
    if groups:
        yield ""
        yield "| through µ-law | actors | clips | UAR |"
        yield "|---|---|---|---|"
    for name, row in groups.items():
        yield f"| {name.lower()} | {row['actors']} | {row['clips']} | {_spanned(row, 'uar')} |"


def _calls(found: Mapping[str, Any]) -> Iterator[str]:
    anger, mood, rule = found["anger"], found["mood"], found["rules"]["sustained_anger"]
    yield ""
    yield f"{found['calls']} calls stitched from the same actors' clips (`python -m train stitch`, `python -m train calls`):"
    yield ""
    yield "| measure | value |"
    yield "|---|---|"
    yield f"| anger after calm speech that raises an alert, of {anger['stretches']} | {_spanned(anger, 'found', 2)} |"
    yield f"| median time to that alert, s | {_spanned(anger, 'median_s', 1)} |"
    yield f"| angry from the first word: alert within 12 s, of {anger['at_once']} | {_spanned(anger, 'at_once_found', 2)} |"
    hours = f"{found['quiet_hours']:.1f} hours"
    yield f"| false alerts an hour of neutral and sad speech, in {hours} | {_spanned(rule, 'false_an_hour', 2)} |"
    yield f"| mood: mean recall of angry, dissatisfied, satisfied | {_interval(mood)} |"
    yield f"| mood: each | {_pairs(mood['recall'])} |"
    yield f"| outcome: mean recall | {_interval(found['outcome'])} |"
    yield f"| scored windows that get a label | {_spanned(found, 'labelled', 2)} |"
    yield f"| labels that are what the voice expresses | {_spanned(found, 'right_among_labelled', 2)} |"
    yield f"| windows of each that are labelled so | {_pairs({name: row['found'] for name, row in found['during'].items()})} |"


def _interval(row: Mapping[str, Any]) -> str:
    return f"{_of(row['mean_recall'])} ({_of(row['low'])} to {_of(row['high'])})"


def _of(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f}"


def _calm(found: Mapping[str, Any]) -> Iterator[str]:
    if found:
        yield ""
        yield "| calm real call, party | windows that get a label | anger among these | alerts |"
        yield "|---|---|---|---|"
    for name, row in found.items():
        yield f"| {name} | {_of(row['labelled'])} | {_of(row['anger_among_labelled'])} | {row['alerts']} |"


def _beside(found: Mapping[str, Any]) -> Iterator[str]:
    if found:
        yield ""
        yield "| beside it | clips | accuracy | UAR |"
        yield "|---|---|---|---|"
    for name, row in found.items():
        yield f"| {name.replace('_', ' ')} | {row['clips']} | {row['accuracy']:.3f} | {row['uar']:.3f} |"


def _ablations(found: Mapping[str, Any]) -> Iterator[str]:
    if not found:
        return
    rows = found["rows"]
    first = next(iter(rows.values()))
    yield ""
    trained = {"epochs": found["schedule"]["epochs"], "split": found["split"], "network": found["network"]}
    yield from ABLATIONS.format(**first, **trained).splitlines()
    yield "| short training | UAR | interval | difference | noise 10 dB under | difference |"
    yield "|---|---|---|---|---|---|"
    for row in rows.values():
        clean, noisy = row["clean"], row["snr_10"]
        span = f"{clean['uar_low']:.3f} to {clean['uar_high']:.3f}"
        rest = f"{_difference(clean)} | {noisy['uar']:.3f} | {_difference(noisy)}"
        yield f"| {row['words']} | {clean['uar']:.3f} | {span} | {rest} |"


def _difference(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return ""
    return f"{row['difference']:+.3f} ({row['difference_low']:+.3f} to {row['difference_high']:+.3f})"


def with_figures(card: str, report: Mapping[str, Any]) -> str:
    """`card` with the figures of `report` between the marks. Raises `CorpusError` for a card without them."""
    before, begin, rest = card.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise CorpusError(
            f"the model card lacks the lines {BEGIN} and {END}, expected both: put them where figures belong"
        )
    return f"{before}{BEGIN}\n\n{card_figures(report)}\n\n{END}{after}"


def write_card(report: Mapping[str, Any], path: Path) -> None:
    """Renews the figures of the card at `path`; a folder without a card gets none."""
    if path.is_file():
        path.write_text(with_figures(path.read_text(encoding="utf-8"), report), encoding="utf-8")
