"""What the commands that learn do, without the command line: each reads, calls the modules in order, and writes."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from monitor.features import window_features
from monitor.messages import LABELS
from monitor.model import EmotionModel
from train import variants
from train.checkpoint import (
    WEIGHTS,
    averaged,
    calibrated_by,
    calibrated_like,
    digest,
    held_out,
    load_checkpoint,
    normalisation,
    open_teacher,
    refuse_known,
    refuse_other_features,
    save_checkpoint,
    tuned_actors,
    weights_digest,
)
from train.corpus import Clip, Corpus, CorpusError, balance, load_corpus
from train.live import speech_powers
from train.measuring import load, tuning_clips
from train.progress import console
from train.recordings import speaker_split
from train.split import Split, fold_split, read_split

if TYPE_CHECKING:
    from train.batches import Schedule

SPLIT_SEED = 1
"""Of the tuning actors: fixed, so that trainings with different seeds can be compared."""
FOLDS = 5
CHECKPOINT_FOLDER = "checkpoint"
"""Inside the models' folder: what another training may start from."""


def show_corpus(cremad: Path | None, data: Path | None, out: Path) -> None:
    """Prints what was dropped, the balance and the split; draws the waveforms."""
    corpus = load(cremad, data)
    _print_dropped(corpus)
    split = _split(corpus, cremad, None)
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


def _split(corpus: Corpus, cremad: Path | None, fold: int | None) -> Split:
    """The published split of CREMA-D, a fold of its actors, or whole speakers of one's own recordings."""
    if fold is not None:
        return fold_split(corpus, fold, FOLDS, SPLIT_SEED)
    return read_split(cremad, corpus, SPLIT_SEED) if cremad else speaker_split(corpus, SPLIT_SEED)


def _split_words(split: Split) -> str:
    return f"{len(split.fitted)} fitted, {len(split.tuning)} tuned and {len(split.validation)} validated on ({split.source})"


def _noise_folder(cremad: Path | None, noise: Path | None) -> Path | None:
    """The folder named, else `noise` beside CREMA-D where there is one."""
    beside = cremad.resolve().parent / "noise" if cremad else None
    return noise or (beside if beside and beside.is_dir() else None)


def fit_network(
    cremad: Path | None,
    data: Path | None,
    work: Path,
    models: Path,
    noise: Path | None,
    schedule: "Schedule",
    channels: Sequence[int],
    start: Path | None = None,
    fold: int | None = None,
    teachers: Sequence[Path] = (),
    with_tuning: bool = False,
) -> None:
    """Trains, from nothing or from the checkpoint in `start`, on the emotions or on what `teachers` say of them as well, without
    or `with_tuning` actors; draws the curve."""
    corpus = load(cremad, data)
    _print_dropped(corpus)
    split = _split(corpus, cremad, fold)
    split = split.with_tuning_fitted() if with_tuning else split
    # Only now, when the data is known to be sound: these import TensorFlow, which talks on stderr.
    from train import fit
    from train.dataset import Recipe
    from train.network import Architecture
    from train.plots import draw_training_curve

    workshop = fit.prepare(corpus, split, _noise_folder(cremad, noise), Recipe(), schedule.seed)
    architecture = Architecture.of(channels)
    words = fit.CREMAD if cremad else f"own recordings ({len(corpus.actors)} speakers)"
    network, lineage = None, dict[str, Any]()
    if start:
        network, before = load_checkpoint(start)
        refuse_known(f"checkpoint {start}", before["split"]["fitted"], split)
        lineage["started_from"] = {
            "sha256": weights_digest(network),
            "epochs": before.get("schedule", {}).get("epochs"),
        }
        architecture = Architecture(**before["architecture"])
        if (learnt := before.get("data", fit.CREMAD)) != words:
            words += f"; started from a network trained on {learnt}"
        workshop = replace(workshop, normalisation=normalisation(before))
    teacher = None
    if teachers:
        several = [open_teacher(path, split) for path in teachers]
        if not start:
            workshop = replace(workshop, normalisation=several[0].normalisation)
        refuse_other_features(several, workshop.normalisation)
        lineage["teachers"] = [one.digest for one in several]

        def teacher(features: np.ndarray) -> np.ndarray:
            return np.mean([one.predict(features) for one in several], axis=0, dtype=np.float32)

    console.print(f"{len(workshop.clips)} clips; {_split_words(split)}; {workshop.noises.source}", highlight=False)
    fit.start_work(work, fit.meaning(workshop, split, schedule, architecture) | {"data": words} | lineage)
    with _progress() as progress:
        task = progress.add_task("training", total=schedule.epochs, loss=float("nan"), uar="")
        fit.fit(
            workshop,
            corpus.of(split.tuning),
            schedule,
            architecture,
            work,
            lambda row: _tell(progress, task, row),
            network,
            teacher,
        )
    draw_training_curve(json.loads((work / fit.HISTORY).read_text(encoding="utf-8")), models / "training_curve.png")


def _progress() -> Progress:
    figures = TextColumn("epoch {task.completed:.0f}/{task.total:.0f} loss {task.fields[loss]:.3f} {task.fields[uar]}")
    return Progress(TextColumn("{task.description}"), BarColumn(), figures, TimeRemainingColumn(), console=console)


def _tell(progress: Progress, task: Any, row: dict[str, float]) -> None:
    uar = {"uar": f"uar {row['tuning_uar']:.3f}"} if "tuning_uar" in row else {}
    progress.update(task, completed=row["epoch"], loss=row["loss"], **uar)


def average_trainings(folders: Sequence[Path], work: Path) -> dict[str, Any]:
    """Writes the mean of several checkpoints' weights as a further one, and returns its meaning. Raises `CorpusError` where there
    is a network in `work` already."""
    if (work / WEIGHTS).is_file():
        raise CorpusError(f"{work} holds a network already, expected a new folder: give another --work or remove it")
    network, meaning = averaged(folders)
    save_checkpoint(network, meaning, work)
    return meaning


def export_model(
    cremad: Path | None, data: Path | None, work: Path, models: Path, like_file: Path | None = None
) -> EmotionModel:
    """Writes emotion.onnx, calibrated on the tuning actors, or as another model file is, and the checkpoint that another
    training may start from. Raises `CorpusError` where the tuning actors were fitted and no such file is named."""
    like = EmotionModel(like_file) if like_file else None
    network, meaning = load_checkpoint(work)
    if not (actors := meaning["split"]["tuning"]) and not like:
        raise CorpusError(
            f"{work} has the tuning actors fitted, expected another model's calibration: name one of the same recipe that was "
            "trained without them by --calibrated-like"
        )
    clips = load(cremad, data, tuned_actors(like) if like else actors).clips
    from train.export import export

    path = models / "emotion.onnx"
    export(network, meaning, path, _real_windows(clips, meaning))
    save_checkpoint(network, meaning, models / CHECKPOINT_FOLDER)
    return calibrate_model(path, clips) if like is None else _take_over(EmotionModel(path), like)


def _take_over(model: EmotionModel, like: EmotionModel) -> EmotionModel:
    """Writes another's calibration, baseline, thresholds and moods into the model's file."""
    from train.calibrate import write_meaning

    taken = calibrated_like(model, like)
    write_meaning(taken, model.path)
    return taken


def _real_windows(clips: tuple[Clip, ...], meaning: dict[str, Any]) -> np.ndarray:
    """(n, 192, 64) features of some clips' first windows: Keras and ONNX are compared on them."""
    read = normalisation(meaning)
    return np.stack([window_features(speech_powers(clip.samples)[0], read) for clip in clips[:100]])


def calibrate_model(path: Path, clips: tuple[Clip, ...]) -> EmotionModel:
    """Fits the model file's calibration, baseline, thresholds and moods on `clips` and writes them into it."""
    from train.calibrate import calibrate, write_meaning

    model = calibrate(EmotionModel(path), clips, lambda line: console.print(line, highlight=False))
    write_meaning(model, path)
    return model


def calibrate_file(
    cremad: Path | None,
    data: Path | None,
    actors: tuple[str, ...] | None,
    path: Path,
    like: Path | None = None,
    through: Sequence[Path] = (),
) -> EmotionModel:
    """The same of any model file, by default on the actors that it says it was tuned on, or as another model file is, or on what
    the models of a cross-validation say of the actors that each leaves out. Raises `CorpusError` for fitted ones."""
    model = EmotionModel(path)
    if like:
        return _take_over(model, EmotionModel(like))
    if through:
        return _calibrate_through(cremad, data, model, [EmotionModel(one) for one in through])
    if known := sorted(set(actors or ()) & set(model.meaning.training.get("fitted") or ())):
        raise CorpusError(
            f"{path} was fitted on {', '.join(known[:3])}, expected actors that it never heard: it is too sure of the others"
        )
    return calibrate_model(path, tuning_clips(cremad, data, actors, model))


def _calibrate_through(
    cremad: Path | None, data: Path | None, model: EmotionModel, networks: Sequence[EmotionModel]
) -> EmotionModel:
    from train.calibrate import calibrate_through, write_meaning

    parts = held_out(networks, model)
    tuned = sorted(actor for actors in parts for actor in actors)
    corpus = load(cremad, data, tuned)
    pairs = [(network, corpus.of(actors)) for network, actors in zip(networks, parts, strict=True)]
    fitted = calibrate_through(pairs, model, lambda line: console.print(line, highlight=False))
    words = [f"{digest(one.path)[:12]}: {one.meaning.training.get('split', 'no split told')}" for one in networks]
    fitted = calibrated_by("calibrated_through", fitted, words, tuned)
    write_meaning(fitted, model.path)
    return fitted


def train_ablations(
    cremad: Path, names: str | None, epochs: int | None, work: Path, out: Path, noise: Path | None
) -> None:
    """Trains the variants in `names`, or all, whose predictions are not in `out` yet."""
    chosen = variants.named(names)
    corpus = load_corpus(cremad)
    _print_dropped(corpus)
    split = _split(corpus, cremad, variants.FOLD)
    schedule = replace(variants.SCHEDULE, epochs=epochs or variants.SCHEDULE.epochs)
    console.print(f"{', '.join(variant.name for variant in chosen)}; {_split_words(split)}", highlight=False)
    from train.ablate import Bench, ablate
    from train.network import Architecture

    with _progress() as progress:
        tasks: dict[str, TaskID] = {}

        def told(name: str, epochs: int, row: dict[str, float]) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=epochs, loss=float("nan"), uar="")
            _tell(progress, tasks[name], row)

        noises = _noise_folder(cremad, noise)
        said = partial(progress.console.print, highlight=False)
        ablate(Bench(corpus, split, noises, schedule, Architecture(), work, told, said), chosen, out)


def run_baseline(cremad: Path, models: Path, cache: Path, epochs: int, seed: int) -> None:
    """Trains the article's network twice and writes baseline.json and its pictures."""
    corpus = load_corpus(cremad)
    _print_dropped(corpus)
    split = read_split(cremad, corpus, SPLIT_SEED)
    from train.baseline import run

    run(cremad, corpus, split, models, cache, epochs, seed, lambda line: console.print(line, highlight=False))
