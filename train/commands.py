"""What the commands do, without the command line: each reads, calls the modules in order, and writes."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from monitor.errors import ModelError
from monitor.features import Normalisation, mel_power, window_features
from monitor.messages import LABELS
from train.calibration import Calibration, calibrate, label_indices
from train.corpus import Clip, Corpus, CorpusError, balance, load_corpus
from train.evaluate import CONDITIONS, evaluate, per_sex
from train.scoring import Predict, clip_windows, score_clips
from train.split import Split, read_split

if TYPE_CHECKING:
    from train.batches import Schedule

EVALUATION = "evaluation.json"
CALIBRATION = "calibration.json"
SPLIT_SEED = 1
"""Of the tuning actors: fixed, so that trainings with different seeds can be compared."""
CALIBRATED_ON = ("clean", "mulaw", "gated", "floor_20", "snr_10")
"""Conditions whose scores of the tuning clips are calibrated on, together: a caller's line is none of them in particular."""

console = Console(stderr=True)


def show_corpus(cremad: Path, out: Path) -> None:
    """Prints what was dropped, the balance and the split; draws the waveforms."""
    corpus = load_corpus(cremad)
    _print_dropped(corpus)
    split = read_split(cremad, corpus, SPLIT_SEED)
    from train.plots import draw_waves

    for name, counts in balance(corpus).items():
        table = Table(title=f"clips by {name}")
        for column in counts:
            table.add_column(str(column), justify="right")
        table.add_row(*map(str, counts.values()))
        Console().print(table)
    Console().print(f"{len(corpus.clips)} clips, {len(corpus.actors)} actors: {_split_words(split)}", highlight=False)
    firsts = {clip.label: clip for clip in reversed(corpus.clips)}
    draw_waves([firsts[label] for label in LABELS if label in firsts], out / "waves.png")
    Console().print(f"waveforms: {out / 'waves.png'}", highlight=False)


def _print_dropped(corpus: Corpus) -> None:
    for name, reason in corpus.dropped.items():
        console.print(f"dropped {name}: {reason}", markup=False, highlight=False)


def _split_words(split: Split) -> str:
    return f"{len(split.fitted)} fitted, {len(split.tuning)} tuned and {len(split.validation)} validated on ({split.source})"


def _noise_folder(cremad: Path, noise: Path | None) -> Path | None:
    """The folder named, else `noise` beside CREMA-D where there is one."""
    beside = cremad.resolve().parent / "noise"
    return noise or (beside if beside.is_dir() else None)


def fit_network(cremad: Path, work: Path, models: Path, noise: Path | None, schedule: "Schedule") -> None:
    """Trains, calibrates, draws the curve."""
    corpus = load_corpus(cremad)
    _print_dropped(corpus)
    split = read_split(cremad, corpus, SPLIT_SEED)
    # Only now, when the data is known to be sound: these import TensorFlow, which talks on stderr.
    from train import fit
    from train.dataset import Recipe
    from train.network import Architecture
    from train.plots import draw_training_curve

    workshop = fit.prepare(corpus, split, _noise_folder(cremad, noise), Recipe(), schedule.seed)
    console.print(f"{len(workshop.clips)} clips; {_split_words(split)}; {workshop.noises.source}", highlight=False)
    architecture = Architecture()
    fit.start_work(work, fit.meaning(workshop, split, schedule, architecture))
    with _progress() as progress:
        task = progress.add_task("training", total=schedule.epochs, loss=float("nan"), uar="")
        network = fit.fit(
            workshop, corpus.of(split.tuning), schedule, architecture, work, lambda row: _tell(progress, task, row)
        )
    calibration = _calibrate(fit.predictor(network), corpus.of(split.tuning), workshop.normalisation)
    (work / CALIBRATION).write_text(json.dumps(asdict(calibration)), encoding="utf-8")
    draw_training_curve(json.loads((work / fit.HISTORY).read_text(encoding="utf-8")), models / "training_curve.png")


def _progress() -> Progress:
    figures = TextColumn("epoch {task.completed:.0f}/{task.total:.0f} loss {task.fields[loss]:.3f} {task.fields[uar]}")
    return Progress(TextColumn("{task.description}"), BarColumn(), figures, TimeRemainingColumn(), console=console)


def _tell(progress: Progress, task: Any, row: dict[str, float]) -> None:
    uar = {"uar": f"uar {row['tuning_uar']:.3f}"} if "tuning_uar" in row else {}
    progress.update(task, completed=row["epoch"], loss=row["loss"], **uar)


def _calibrate(predict: Predict, clips: tuple[Clip, ...], normalisation: Normalisation) -> Calibration:
    labels = label_indices([clip.label for clip in clips])
    scores = [score_clips(predict, clips, normalisation, CONDITIONS[name]) for name in CALIBRATED_ON]
    return calibrate(np.concatenate(scores), np.tile(labels, len(scores)))


def read_meaning(work: Path) -> dict[str, Any]:
    """What `fit` left beside its network. Raises `CorpusError` when it is missing or unfinished."""
    files = [work / name for name in ("last.keras", "meaning.json", CALIBRATION)]
    if missing := [path.name for path in files if not path.is_file()]:
        raise CorpusError(
            f"{work} has no {', '.join(missing)}, expected a finished training: run `python -m train fit` first"
        )
    meaning: dict[str, Any] = json.loads(files[1].read_text(encoding="utf-8"))
    return {**meaning, "calibration": json.loads(files[2].read_text(encoding="utf-8"))}


def _load_network(work: Path) -> Any:
    import keras

    try:
        return keras.models.load_model(work / "last.keras", compile=False)
    except (ValueError, OSError, TypeError) as error:
        raise ModelError(
            f"{work / 'last.keras'} is no network of this version ({error}), expected one by `fit`: train again"
        ) from error


def onnx_predictor(path: Path) -> tuple[Predict, Normalisation, float]:
    """The scorer, the feature settings and the temperature of a model file. Raises `ModelError` for a file that is not ours."""
    import onnxruntime

    from monitor.model import EmotionModel

    meaning = EmotionModel(path).meaning
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    normalisation = Normalisation(meaning.features.floor_db, np.array(meaning.features.spectrum, np.float32))
    return (
        lambda features: session.run(["probabilities"], {"features": features})[0],
        normalisation,
        meaning.calibration.temperature,
    )


def _trained_predictor(work: Path) -> tuple[Predict, Normalisation, float]:
    meaning = read_meaning(work)
    from train.fit import predictor

    normalisation = Normalisation(meaning["floor_db"], np.array(meaning["spectrum"], np.float32))
    return predictor(_load_network(work)), normalisation, meaning["calibration"]["temperature"]


def actor_ids(text: str) -> tuple[str, ...]:
    """Actors from `1001,1002` or from a file with one a line or commas between."""
    path = Path(text)
    content = path.read_text(encoding="utf-8") if path.is_file() else text
    return tuple(dict.fromkeys(content.replace(",", " ").split()))


def evaluate_model(
    cremad: Path, work: Path, models: Path | None, model: Path | None, actors: str | None
) -> dict[str, Any]:
    """The report; written with its pictures to `models` unless that is None."""
    predict, normalisation, temperature = onnx_predictor(model) if model else _trained_predictor(work)
    if actors:
        corpus = load_corpus(cremad, actor_ids(actors))
        clips, chosen = corpus.clips, f"actors {', '.join(corpus.actors)}"
    else:
        corpus = load_corpus(cremad)
        split = read_split(cremad, corpus, SPLIT_SEED)
        clips, chosen = (
            corpus.of(split.validation),
            f"validation actors of {split.source}, none of them fitted or tuned on",
        )
    conditions = evaluate(predict, clips, normalisation, temperature, CONDITIONS)
    report = {
        "protocol": chosen,
        **conditions["clean"],
        "dropped": corpus.dropped,
        "labels": list(LABELS),
        "conditions": conditions,
    }
    report["sexes_mulaw"] = per_sex(predict, clips, normalisation, temperature)
    if models:
        _write_report(report, models)
    return report


def _write_report(report: dict[str, Any], models: Path) -> None:
    from train import plots

    models.mkdir(parents=True, exist_ok=True)
    (models / EVALUATION).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    conditions = report["conditions"]
    plots.draw_confusion({name: conditions[name]["confusion"] for name in ("clean", "mulaw")}, models / "confusion.png")
    plots.draw_coverage({name: conditions[name] for name in ("clean", "mulaw", "floor_20")}, models / "coverage.png")
    plots.draw_conditions(conditions, models / "conditions.png")


def export_model(cremad: Path | None, work: Path, models: Path) -> dict[str, Any]:
    """Writes emotion.onnx with the figures of evaluation.json. Raises `CorpusError` when evaluate has not run."""
    path, meaning = models / EVALUATION, read_meaning(work)
    if not path.is_file():
        raise CorpusError(
            f"no {path}, expected the figures that the model file carries: run `python -m train evaluate` first"
        )
    report = json.loads(path.read_text(encoding="utf-8"))
    scores = {"protocol": report["protocol"], "clips": report["clips"], "actors": report["actors"]}
    scores |= {name: report[name] for name in ("uar", "uar_low", "uar_high", "accuracy", "accuracy_60", "ece")}
    scores |= {f"uar_{name}": row["uar"] for name, row in report["conditions"].items() if name != "clean"}
    windows = _real_windows(cremad, meaning) if cremad else None
    from train.export import export

    return export(_load_network(work), meaning, scores, models / "emotion.onnx", windows)


def _real_windows(cremad: Path, meaning: dict[str, Any]) -> np.ndarray:
    """(n, 188, 64) features of a tuning actor's clips."""
    clips = load_corpus(cremad, meaning["split"]["tuning"][:1]).clips
    normalisation = Normalisation(meaning["floor_db"], np.array(meaning["spectrum"], np.float32))
    return np.stack([window_features(mel_power(clip_windows(clip.samples)[0]), normalisation) for clip in clips])


def run_baseline(cremad: Path, models: Path, cache: Path, epochs: int, seed: int) -> None:
    """Trains the article's network twice and writes baseline.json and its pictures."""
    corpus = load_corpus(cremad)
    _print_dropped(corpus)
    split = read_split(cremad, corpus, SPLIT_SEED)
    from train.baseline import run

    run(cremad, corpus, split, models, cache, epochs, seed, lambda line: console.print(line, highlight=False))
