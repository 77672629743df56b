"""What held-out actors teach a finished network: temperature and bias, prior, thresholds, moods. Needs no TensorFlow.

Everything is measured on their clips and on calls stitched from these, and lives in the model file's meaning: a new network
gets its own by one command.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import msgspec
import numpy as np
import onnx

from monitor.audio import SAMPLE_RATE
from monitor.messages import LABELS
from monitor.model import METADATA_KEY, MOOD_GROUPS, Baseline, EmotionModel, Moods
from monitor.readings import PartyReader, unscored_state
from train.calibration import (
    ACROSS_WINDOWS,
    ALONG_WINDOWS,
    CAP,
    LIVELY,
    PLAIN_WINDOWS,
    best_calibration,
    calibrated,
    common_direction,
    label_indices,
    prior,
)
from train.checkpoint import CALIBRATED_BY
from train.corpus import Clip, CorpusError
from train.evaluate import CONDITIONS
from train.live import LIVE, speech_windows, streamed, windows, with_meaning
from train.moods import LONG_ENOUGH_S, fit_moods, mood_stretches, shares
from train.stitch import Line, PseudoCall, stitched

CALIBRATED_ON = ("clean", "mulaw", "gated", "floor_20", "snr_10")
"""Conditions whose scores of the clips are calibrated on, together: a caller's line is none of them in particular."""
LABELLED, CLEAR = 0.71, 0.98
"""Shares of the stitched calls' windows and stretches that are as sure as the thresholds for a label and a mood ask.

A label that is there already stays a little under its threshold, so that more of the windows have one: of the folds' calls 77 %.
"""
CALLS_EACH = 3
"""Stitched calls of every kind of every actor."""
STRANGE = Line(tilt_db=1.5, bump_db=2.0)
"""Lines of the stitched calls: callers' telephones, unlike the one room in which all actors were recorded. Moods that were
fitted without them took the line for the mood until the baseline had learnt it."""
SEED = 1

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Heard:
    """What a reader makes of stitched calls."""

    evidence: np.ndarray
    """(n, 6) mean log scores at the end of n stretches of one mood."""
    places: np.ndarray
    """(n,) their moods' places in `MOOD_GROUPS`."""
    speakers: np.ndarray
    """(n,)"""
    confidence: np.ndarray
    """(windows,) largest rolling score of every scored window."""


def raw_scores(model: EmotionModel, clips: Sequence[Clip], condition: str) -> np.ndarray:
    """(clips, 6) the network's own mean probabilities under a condition of `CONDITIONS`."""
    altered = CONDITIONS[condition]
    return np.stack(
        [
            model.raw(streamed(speech_windows(altered.apply(clip.samples, seed)))).mean(axis=0)
            for seed, clip in enumerate(clips)
        ]
    )


def read_calls(model: EmotionModel, calls: Sequence[PseudoCall]) -> Heard:
    """Every call through windows, model and a `PartyReader`, without alerts, which would only freeze its baseline."""
    evidence, places, speakers, confidence = [], [], [], []
    for call in calls:
        rows = _read(model, call)
        confidence += [sure for _, sure, _ in rows]
        for number, (start_s, end_s, mood) in enumerate(mood_stretches(call.stretches)):
            after = [found for at_s, _, found in rows if at_s <= end_s + LIVE.hop_s]
            won_back = mood == "calm" and number > 0
            if after and end_s - start_s >= LONG_ENOUGH_S and not won_back:
                evidence.append(after[-1])
                places.append(MOOD_GROUPS.index(mood))
                speakers.append(call.speaker)
    return Heard(
        np.array(evidence).reshape(-1, len(LABELS)),
        np.array(places, np.intp),
        np.array(speakers, str),
        np.array(confidence, np.float64),
    )


def _read(model: EmotionModel, call: PseudoCall) -> list[tuple[float, float, np.ndarray]]:
    """End, largest rolling score and the mood's evidence of every scored window."""
    # Nothing is sure enough for a label: so `confidence` is always the largest rolling score.
    unsure = msgspec.structs.replace(model.meaning.thresholds, uncertain=2.0)
    reader, rows = PartyReader(msgspec.structs.replace(model.meaning, thresholds=unsure), LIVE), []
    scored = [window for window in windows(call.samples) if unscored_state(window, LIVE) is None]
    for window, scores in zip(scored, model.score(streamed(scored)), strict=True):
        verdict = reader.read(window, scores, hears_anger=False)
        evidence = reader.mood_evidence(LIVE.mood_s)
        assert verdict.confidence is not None
        assert evidence is not None
        rows.append((window.end / SAMPLE_RATE, verdict.confidence, evidence))
    return rows


def mood_threshold(moods: Moods, evidence: np.ndarray) -> float:
    """The share of the leading mood that `CLEAR` of the stretches exceed."""
    return round(float(np.quantile(shares(moods, evidence).max(axis=1), 1.0 - CLEAR)), 3)


def mood_recall(moods: Moods, threshold: float, evidence: np.ndarray, places: np.ndarray) -> dict[str, float]:
    """Mood → share of its stretches that are found; unclear ones are not found."""
    found = shares(moods, evidence)
    chosen = np.where(found.max(axis=1) >= threshold, found.argmax(axis=1), -1)
    return {
        mood: round(float((chosen[places == place] == place).mean()), 3)
        for place, mood in enumerate(MOOD_GROUPS)
        if (places == place).any()
    }


def held_out_recall(heard: Heard, plain: Moods) -> dict[str, float]:
    """Mood → share found of speakers whom the moods were not fitted on: fitted on one half, checked on the other, both ways."""
    names = np.unique(heard.speakers)
    if len(names) < 2:
        return {}
    found: list[dict[str, float]] = []
    for half in (names[::2], names[1::2]):
        own = np.isin(heard.speakers, half)
        moods = fit_moods(heard.evidence[own], heard.places[own], plain)
        threshold = mood_threshold(moods, heard.evidence[own])
        found.append(mood_recall(moods, threshold, heard.evidence[~own], heard.places[~own]))
    return {
        mood: round(float(np.mean([row[mood] for row in found])), 3)
        for mood in found[0]
        if all(mood in r for r in found)
    }


def calibrate(
    model: EmotionModel, clips: Sequence[Clip], told: Told = lambda _: None, calls_each: int = CALLS_EACH
) -> EmotionModel:
    """The network with a meaning fitted on `clips`, which it was not trained on. Raises `CorpusError` without neutral ones."""
    return calibrate_through([(model, clips)], model, told, calls_each)


def calibrate_through(
    networks: Sequence[tuple[EmotionModel, Sequence[Clip]]],
    model: EmotionModel,
    told: Told = lambda _: None,
    calls_each: int = CALLS_EACH,
) -> EmotionModel:
    """`model` with a meaning fitted on what networks of its recipe say, each of clips that it was not trained on: a few
    tuning actors may be harder than others, all that a cross-validation leaves out are not. Raises `CorpusError` without neutral
    ones."""
    labels = label_indices([clip.label for _, clips in networks for clip in clips for _ in CALIBRATED_ON])
    if LABELS.index("neutral") not in labels:
        raise CorpusError(
            "the clips to calibrate on hold no neutral one, expected some: a caller's baseline starts from them"
        )
    told(f"scores of {len(labels) // len(CALIBRATED_ON)} clips of held-out actors")
    scores = np.concatenate(
        [
            np.stack([raw_scores(own, clips, name) for name in CALIBRATED_ON], 1).reshape(-1, len(LABELS))
            for own, clips in networks
        ]
    )
    calibration = best_calibration(scores, labels)
    tempered = calibrated(scores, calibration)
    common = common_direction(tempered, labels)
    baseline = Baseline(list(prior(tempered, labels)), PLAIN_WINDOWS, CAP)
    plain = Moods()
    if common:
        baseline = msgspec.structs.replace(
            baseline, weight_windows=ACROSS_WINDOWS, common=common, along_windows=ALONG_WINDOWS
        )
    else:
        told(f"no clip of {', '.join(LIVELY)}: strange voices are told from emotion less well")
    training = {name: value for name, value in model.meaning.training.items() if name not in CALIBRATED_BY}
    fitted = {"calibration": calibration, "baseline": baseline, "moods": plain}
    heard = []
    for own, clips in networks:
        calls = list(stitched(clips, calls_each, SEED, STRANGE))
        told(f"{len(calls)} calls stitched from them")
        heard.append(read_calls(with_meaning(own, **fitted), calls))
    together = Heard(*(np.concatenate([getattr(part, field.name) for part in heard]) for field in fields(Heard)))
    return _with_moods(with_meaning(model, training=training, **fitted), plain, together, told)


def _with_moods(model: EmotionModel, plain: Moods, heard: Heard, told: Told) -> EmotionModel:
    """Moods and thresholds; without at least two moods among the stretches the plain grouping stays."""
    several = len(np.unique(heard.places)) > 1
    moods = fit_moods(heard.evidence, heard.places, plain) if several else plain
    uncertain = round(float(np.quantile(heard.confidence, 1.0 - LABELLED)), 3) if len(heard.confidence) else 0.0
    mood = mood_threshold(moods, heard.evidence) if several else 0.0
    thresholds = msgspec.structs.replace(model.meaning.thresholds, uncertain=uncertain, mood=mood)
    if several and (checked := held_out_recall(heard, plain)):
        told(
            f"mood found of speakers that it was not fitted on: {', '.join(f'{m} {r:.2f}' for m, r in checked.items())}"
        )
    return with_meaning(model, moods=moods, thresholds=thresholds)


def write_meaning(model: EmotionModel, path: Path) -> None:
    """The file of `model` with its present meaning at `path`, which may be the same file; whole, or not at all."""
    network = onnx.load(model.path)
    onnx.helper.set_model_props(network, {METADATA_KEY: msgspec.json.encode(model.meaning).decode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(network.SerializeToString())
    beside.replace(path)
