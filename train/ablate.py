"""Trains the ablations' variants one after the other, alike but for what each leaves out or adds; read top to bottom.

Windows are made before a network learns from them, once for all variants that learn from the same.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import keras
import numpy as np

from train import fit
from train.ablations import is_judged, predictions_path, start_folder
from train.batches import Schedule, generation_path, make_generation, save
from train.corpus import Clip, Corpus, CorpusError
from train.dataset import Recipe, Workshop
from train.folds import write_predictions
from train.frame_measures import MEASURES, MeasuringWorkshop, read_clip
from train.network import NETWORK, Architecture, rebuilt
from train.scoring import Predict, clip_features, score_clips
from train.split import Split
from train.variants import JUDGED, Variant

Told = Callable[[str, int, dict[str, float]], None]
"""Is told each network's name, how many epochs it learns for, and each epoch's row."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all variants have in common."""

    corpus: Corpus
    split: Split
    noise_folder: Path | None
    schedule: Schedule
    architecture: Architecture
    work: Path
    """Keeps windows and networks; an interrupted training goes on from here."""
    told: Told
    said: Callable[[str], None]
    """Is told in a line what else takes minutes."""

    def parts(self, variant: Variant) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
        """The fitted clips and the judged ones. A leaky variant's are drawn from all clips, as many of each."""
        fitted, judged = self.corpus.of(self.split.fitted), self.corpus.of(self.split.validation)
        if variant.leaky:
            order = np.random.default_rng(self.schedule.seed).permutation(len(self.corpus.clips))
            chosen, others = order[: len(judged)], order[len(judged) : len(judged) + len(fitted)]
            judged, fitted = (tuple(self.corpus.clips[place] for place in sorted(part)) for part in (chosen, others))
        if not variant.asks_sex:
            fitted = tuple(replace(clip, sex=None) for clip in fitted)
        return fitted, judged


def ablate(bench: Bench, variants: Sequence[Variant], out: Path) -> None:
    """Trains the variants whose predictions are not in `out` yet, and writes them. Raises `CorpusError`."""
    _check_sexes(bench.corpus, variants)
    start_folder(out, _described(bench))
    missing = [variant for variant in variants if not is_judged(out, variant)]
    for number, variant in enumerate(missing):
        judged, scores = _judge(bench, variant)
        for condition, rows in scores.items():
            write_predictions(predictions_path(out, variant, condition), judged, rows)
        if variant.windows not in {other.windows for other in missing[number + 1 :]}:
            shutil.rmtree(bench.work / f"windows-{variant.windows}")


def _check_sexes(corpus: Corpus, variants: Sequence[Variant]) -> None:
    unknown = sum(clip.sex is None for clip in corpus.clips)
    if unknown and (asking := [variant.name for variant in variants if variant.by_sex or not variant.asks_sex]):
        raise CorpusError(
            f"{unknown} clips do not say the speaker's sex, expected all to for {', '.join(asking)}: add "
            "VideoDemographics.csv or name other variants by --only"
        )


def _described(bench: Bench) -> dict[str, object]:
    """What must be alike for rows to be compared."""
    return {
        "schedule": asdict(bench.schedule),
        "network": NETWORK,
        "architecture": asdict(bench.architecture),
        "augmentation": Recipe().words(),
        "split": asdict(bench.split),
        "fitted_clips": len(bench.corpus.of(bench.split.fitted)),
    }


def _judge(bench: Bench, variant: Variant) -> tuple[tuple[Clip, ...], dict[str, np.ndarray]]:
    """The judged clips, and under each condition their (clips, 6) probabilities."""
    fitted, judged = bench.parts(variant)
    kind = MeasuringWorkshop if variant.measures else Workshop
    workshop = kind.of(fitted, bench.noise_folder, variant.recipe, bench.schedule.seed)
    windows = _make_windows(bench, variant, workshop)
    scores = {condition: np.zeros((len(judged), 6)) for condition in JUDGED}
    for group, own, others in _groups(variant, fitted, judged):
        predict = _learn(bench, variant, group, workshop, own, windows)
        read = read_clip if variant.measures else clip_features
        for name, condition in JUDGED.items():
            # All of them, since a clip's noise comes from its place: every variant hears the same.
            scores[name][others] = score_clips(predict, judged, workshop.normalisation, condition, read)[others]
        keras.backend.clear_session()
    return judged, scores


def _groups(
    variant: Variant, fitted: Sequence[Clip], judged: Sequence[Clip]
) -> Iterator[tuple[str, list[int], list[int]]]:
    """Name and places of the fitted and the judged clips that one network learns from and judges."""
    groups = sorted({clip.sex or "" for clip in judged}) if variant.by_sex else [None]
    for group in groups:
        places = [[n for n, clip in enumerate(clips) if group in (None, clip.sex)] for clips in (fitted, judged)]
        if not places[0]:
            raise CorpusError(
                f"no fitted clip of a {group} speaker, expected some for {variant.name}: leave it out by --only"
            )
        yield variant.name if group is None else f"{variant.name}-{group.lower()}", places[0], places[1]


def _make_windows(bench: Bench, variant: Variant, workshop: Workshop) -> Path:
    """The folder of the variant's windows, those that were missing made."""
    work = bench.work / f"windows-{variant.windows}"
    fit.start_work(work, fit.meaning(workshop, bench.split, bench.schedule, bench.architecture))
    folder = work / fit.WINDOWS
    folder.mkdir(exist_ok=True)
    count = bench.schedule.generations_by(bench.schedule.epochs - 1)
    for number in range(count):
        if not (path := generation_path(folder, number)).is_file():
            bench.said(f"{variant.name}: windows {number + 1} of {count} of every clip")
            make_generation(workshop, number, path)
    return folder


def _learn(bench: Bench, variant: Variant, name: str, workshop: Workshop, places: list[int], windows: Path) -> Predict:
    """The trained network of the fitted clips in `places`."""
    epochs, seed = bench.schedule.epochs * variant.times, bench.schedule.seed + variant.further_seed
    schedule = replace(bench.schedule, epochs=epochs, seed=seed)
    own = replace(workshop, clips=tuple(workshop.clips[place] for place in places), seed=seed)
    architecture = replace(bench.architecture, beside=MEASURES if variant.measures else 0)
    work = bench.work / name
    fit.start_work(work, fit.meaning(own, bench.split, schedule, architecture))
    (work / fit.WINDOWS).mkdir(exist_ok=True)
    for path in windows.glob("*.npy"):
        save(work / fit.WINDOWS / path.name, [np.load(path, mmap_mode="r")[places]])
    learnt = fit.fit(own, (), schedule, architecture, work, lambda row: bench.told(name, epochs, row))
    return fit.predictor(rebuilt(learnt, architecture))
