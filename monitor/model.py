"""The emotion model: an ONNX network and, inside the same file, what it means. Prints itself."""

import base64
import binascii
import math
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime

from monitor.audio import SAMPLE_RATE, Samples
from monitor.errors import ModelError
from monitor.features import (
    BANDS,
    FRAME,
    FRAME_HOP,
    HIGH_HZ,
    LOW_HZ,
    Frames,
    Normalisation,
    last_features,
    mel_filter_bank,
    window_features,
)
from monitor.messages import LABELS, Mood
from monitor.windows import CELL_FRAMES, Window

FORMAT = 2
"""Of the metadata; 1 was a network that read whole windows."""
METADATA_KEY = "callmood"
"""Entry of the ONNX file's metadata that holds the JSON of `Meaning`."""
WINDOW_CELLS = 12
"""Cells of 0.25 s in a window."""
HOP_CELLS = 2
"""Cells from one window to the next, by default."""
BATCH_CELLS = 64
"""New cells of one ONNX run; more go into several: larger ones fall out of the processor's cache."""
MOOD_GROUPS: tuple[Mood, ...] = ("angry", "dissatisfied", "satisfied", "calm")
"""The moods that a model tells apart, in the order of `Moods`."""
_GROUPED: dict[Mood, tuple[str, ...]] = {
    "angry": ("anger",),
    "dissatisfied": ("disgust", "fear", "sad"),
    "satisfied": ("happy",),
    "calm": ("neutral",),
}


def plain_mood_weights() -> list[list[float]]:
    """(4, 6) every mood the mean of its labels' log scores: what `Moods` is before anything is fitted."""
    return [[(name in _GROUPED[mood]) / len(_GROUPED[mood]) for name in LABELS] for mood in MOOD_GROUPS]


CELL_VECTORS = 2
"""What the network makes of a cell's frames, before it pools those of a window."""
_INPUTS = ["features", "state", "ends"]
_OUTPUTS = ["probabilities", "state_after"]
Float = TypeVar("Float", np.float32, np.float64)


class FeatureMeaning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the network's input is computed; must be what `monitor.features` does."""

    kind: str
    frame: int
    frame_hop: int
    bands: int
    low_hz: float
    high_hz: float
    frames: int
    floor_db: float
    spectrum: list[float]
    filter_bank: str
    """Base64 of zlib of (257, 64) float32."""


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Calibrated probabilities are softmax(log p / temperature + bias)."""

    temperature: float
    neutral_bias: float = 0.0
    """The bias of neutral; the other labels have none. Listeners hear neutral where an actor meant something else, and a network
    learns from both: so it is below 0 as a rule."""

    @property
    def bias(self) -> Samples:
        """(6,)"""
        return np.array([self.neutral_bias if name == "neutral" else 0.0 for name in LABELS], np.float32)


class Thresholds(msgspec.Struct, frozen=True):
    """Under these confidences nothing is claimed."""

    uncertain: float
    """For a reading's label."""
    mood: float
    """For a mood and an outcome."""


class Baseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The per-caller baseline: where it starts, how fast and how far it moves."""

    prior: list[float]
    """(6,) mean calibrated log posterior over neutral speech of many speakers."""
    weight_windows: float
    """The prior counts as so many windows of the caller's own speech; across `common`, where there is one."""
    cap: float
    """The largest correction of a log posterior."""
    common: list[float] = []
    """(6,) of length 1: what the lively emotions have in common against neutral speech. Voices and lines that are strange to the
    network move its log posteriors this way above all. Empty: no such direction."""
    along_windows: float = 20.0
    """`weight_windows` along `common`."""


class Moods(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mood shares are softmax(weights · mean log scores + bias), in the order of `MOOD_GROUPS`.

    Fitted on calls stitched from actors that the network was not fitted on, so that each mood is found as often as calm.
    """

    weights: list[list[float]] = msgspec.field(default_factory=plain_mood_weights)
    """(4, 6)"""
    bias: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(MOOD_GROUPS))
    """(4,)"""


class Meaning(msgspec.Struct, frozen=True):
    """Everything that the model file says about itself."""

    format: int
    name: str
    version: str
    labels: list[str]
    sample_rate: int
    window_s: float
    features: FeatureMeaning
    calibration: Calibration
    thresholds: Thresholds
    baseline: Baseline
    training: dict[str, Any]
    licence: str
    scores: dict[str, Any]
    parameters: int
    mflop: float
    """2 × multiply-accumulates of a window half a second after the one before, in millions."""
    moods: Moods = msgspec.field(default_factory=Moods)


class Stream:
    """One party's place in the network: what its layers keep of what they have read."""

    __slots__ = ("cells", "state")

    def __init__(self) -> None:
        self.cells = 0
        """Of the party, up to the end of the window that was scored last."""
        self.state: Samples | None = None
        """(size,) None before the first window."""


class Batch(NamedTuple):
    """What the network reads together: of several parties some windows that follow each other, in the same steps."""

    places: npt.NDArray[np.intp]
    """(parties, windows) in what was asked for."""
    streams: list[Stream]
    new_cells: tuple[int, ...]
    """Of each window those that the one before it did not hold."""
    features: Samples
    """(parties, 16 a new cell, 64)"""


class EmotionModel:
    """One network, ready to score. Raises ModelError where the file is missing, broken or contradicts the live path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._session = _open(path)
        self.meaning = _read_meaning(path, self._session)
        features = self.meaning.features
        self._normalisation = Normalisation(features.floor_db, np.array(features.spectrum, np.float32))
        self._state_size: int = self._session.get_inputs()[1].shape[-1]

    def score(self, windows: Sequence[tuple[Stream, Window]]) -> Samples:
        """Windows of parties that are scored, of one party in order → (n, 6) calibrated log probabilities, in the order of
        LABELS."""
        return self.calibrated(self.raw(windows)) if windows else np.zeros((0, len(LABELS)), np.float32)

    def raw(self, windows: Sequence[tuple[Stream, Window]]) -> Samples:
        """The same, at least one → (n, 6) the network's own probabilities, uncalibrated."""
        probabilities = np.empty((len(windows), len(LABELS)), np.float32)
        for batch in self.batches(windows):
            probabilities[batch.places] = self.run(batch)
        return probabilities

    def batches(self, windows: Sequence[tuple[Stream, Window]]) -> Iterator[Batch]:
        """What is to run, each batch once, one after the other: the parties have moved on already.

        Of a window only those cells are read that its party's last one did not hold: the layers under the pooling are
        computed once for each. After a pause as long as a window a party begins anew.
        """
        alike: dict[tuple[int, tuple[int, ...]], list[list[int]]] = defaultdict(list)
        for runs in self._runs(windows).values():
            for turn, (new_cells, places) in enumerate(runs):
                alike[turn, tuple(new_cells)].append(places)
        for (_, steps), parties in sorted(alike.items()):
            most = max(1, BATCH_CELLS // sum(steps))
            for at in range(0, len(parties), most):
                some = parties[at : at + most]
                frames = [_frames(windows[place][1]) for places in some for place in places]
                pieces = last_features(frames, steps * len(some), self._normalisation)
                features = pieces.reshape(len(some), -1, BANDS)
                yield Batch(np.array(some), [windows[places[0]][0] for places in some], steps, features)

    def _runs(self, windows: Sequence[tuple[Stream, Window]]) -> dict[int, list[tuple[list[int], list[int]]]]:
        """Of each party the windows that the network reads at once: their new cells, and their places in `windows`."""
        runs: dict[int, list[tuple[list[int], list[int]]]] = defaultdict(list)
        for place, (stream, window) in enumerate(windows):
            # The first window of a short call is filled up with silence.
            new = min(window.cells - stream.cells, WINDOW_CELLS) if stream.cells else WINDOW_CELLS
            stream.cells = window.cells
            own = runs[id(stream)]
            if not own or new == WINDOW_CELLS or sum(own[-1][0]) + new > BATCH_CELLS:
                own.append(([], []))
            own[-1][0].append(new)
            own[-1][1].append(place)
        return runs

    def run(self, batch: Batch) -> Samples:
        """(parties, windows, 6) the network's own probabilities; its streams go on from there."""
        states = np.zeros((len(batch.streams), self._state_size), np.float32)
        if batch.new_cells[0] < WINDOW_CELLS:
            for row, stream in zip(states, batch.streams, strict=True):
                assert stream.state is not None, "a batch before this one was not run"
                row[:] = stream.state
        probabilities, after = self._read(batch.features, states, batch.new_cells)
        for stream, state in zip(batch.streams, after, strict=True):
            stream.state = state.copy()  # or one party's would keep those of all the others
        return probabilities.reshape(*batch.places.shape, len(LABELS))

    def _read(self, features: Samples, states: Samples, new_cells: Sequence[int]) -> tuple[Samples, Samples]:
        """(parties · windows, 6) the network's own probabilities, (parties, size) the states after them."""
        ends = np.cumsum(new_cells, dtype=np.int32) * np.int32(CELL_VECTORS)
        probabilities, after = self._session.run(_OUTPUTS, {"features": features, "state": states, "ends": ends})
        return probabilities, after

    def read(self, powers: Samples) -> Samples:
        """(n, 192, 64) mel power of whole windows → what the network reads, as many features."""
        return window_features(powers, self._normalisation)

    def predict(self, features: Samples) -> Samples:
        """(n, 192, 64) features of whole windows → (n, 6) the network's own probabilities, of parties that begin with them."""
        return self._read(features, np.zeros((len(features), self._state_size), np.float32), [WINDOW_CELLS])[0]

    def calibrated(self, probabilities: Samples) -> Samples:
        """(n, 6) the network's own probabilities → (n, 6) calibrated log probabilities."""
        logs: Samples = np.log(np.maximum(probabilities, np.float32(1e-9)))
        calibration = self.meaning.calibration
        return log_softmax(logs / np.float32(calibration.temperature) + calibration.bias)

    def describe(self) -> str:
        """What the file says about itself, for people: one `name: value` a line."""
        meaning = self.meaning
        rows = {
            "model": f"{meaning.name} {meaning.version}",
            "file": f"{self.path} ({self.path.stat().st_size / 1e6:.2f} MB)",
            "labels": ", ".join(meaning.labels),
            "input": f"{meaning.window_s:g} s at {meaning.sample_rate} Hz, {meaning.features.bands} mel bands "
            f"{meaning.features.low_hz:g} to {meaning.features.high_hz:g} Hz, {meaning.features.frames} frames of "
            f"{1000 * meaning.features.frame / meaning.sample_rate:g} ms, floor {meaning.features.floor_db:g} dB under the voice",
            "parameters": f"{meaning.parameters:,}",
            "arithmetic": f"{meaning.mflop:.1f} MFLOP a window",
            "calibration": f"temperature {meaning.calibration.temperature:.3f}, neutral {meaning.calibration.neutral_bias:+.2f}",
            "thresholds": f"label {meaning.thresholds.uncertain:.2f}, mood {meaning.thresholds.mood:.2f}",
            "baseline": f"prior of {_windows(meaning.baseline)}, correction at most {meaning.baseline.cap:g}",
            "licence": meaning.licence,
        }
        rows |= {f"training {name}": _short(value) for name, value in meaning.training.items()}
        rows |= {f"score {name}": _short(value) for name, value in meaning.scores.items()}
        width = max(map(len, rows)) + 1
        return "\n".join(f"{name + ':':<{width}} {value}" for name, value in rows.items())


def _frames(window: Window) -> tuple[Frames, ...]:
    assert window.frames is not None, "a window of a party that is not scored"
    return window.frames


def log_softmax(logits: npt.NDArray[Float]) -> npt.NDArray[Float]:
    """(…, n) → (…, n) log probabilities."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))  # type: ignore[no-any-return]


def default_path() -> Path:
    """The model that comes with callmood: inside the installed package, or the checkout's."""
    inside = Path(__file__).parent / "data" / "emotion.onnx"
    return inside if inside.exists() else Path(__file__).parents[1] / "models" / "emotion.onnx"


def _windows(baseline: Baseline) -> str:
    """What the prior of a baseline counts as, in words."""
    if not baseline.common:
        return f"{baseline.weight_windows:g} windows"
    return (
        f"{baseline.along_windows:g} windows along what emotions have in common, {baseline.weight_windows:g} across it"
    )


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and len(value) > 8:
        return f"{len(value)}: {', '.join(map(str, value[:4]))} … {value[-1]}"
    if isinstance(value, dict):
        return "; ".join(f"{name} {_short(item)}" for name, item in value.items())
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value):
        return value[:12]
    if isinstance(value, list):
        texts = list(map(str, value))
        return ("; " if any(", " in text for text in texts) else ", ").join(texts)
    return str(value)


def _open(path: Path) -> onnxruntime.InferenceSession:
    if not path.is_file():
        raise ModelError(f"{path}: no such model file; expected an ONNX file made by `python -m train export`")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # what is new in some windows is too little to share: two take half as much again
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no root but this
        raise ModelError(
            f"{path}: not an ONNX model that can be run; expected one made by `python -m train export`"
        ) from error


def _read_meaning(path: Path, session: onnxruntime.InferenceSession) -> Meaning:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ModelError(
            f"{path}: lacks the metadata {METADATA_KEY!r}; expected a model made by `python -m train export`"
        )
    try:
        meaning = msgspec.json.decode(text, type=Meaning)
    except msgspec.MsgspecError as error:
        raise ModelError(
            f"{path}: metadata {METADATA_KEY!r} is not as expected: {error}; export the model again"
        ) from error
    for name, got, expected in _contradictions(meaning, session):
        raise ModelError(
            f"{path}: {name} is {got}, expected {expected}; export the model again with this version of callmood"
        )
    return meaning


def _contradictions(meaning: Meaning, session: onnxruntime.InferenceSession) -> list[tuple[str, object, object]]:
    """What in the file is not as the live path computes it: name, got, expected."""
    features = meaning.features
    inputs, outputs = session.get_inputs(), session.get_outputs()
    facts = [
        ("format", meaning.format, FORMAT),
        ("labels", meaning.labels, list(LABELS)),
        ("sample_rate", meaning.sample_rate, SAMPLE_RATE),
        ("window_s", meaning.window_s, 3.0),
        ("features.kind", features.kind, "log_mel"),
        ("features.frame", features.frame, FRAME),
        ("features.frame_hop", features.frame_hop, FRAME_HOP),
        ("features.bands", features.bands, BANDS),
        ("features.low_hz", features.low_hz, LOW_HZ),
        ("features.high_hz", features.high_hz, HIGH_HZ),
        ("features.frames", features.frames, WINDOW_CELLS * CELL_FRAMES),
        ("length of features.spectrum", len(features.spectrum), BANDS),
        ("filter bank", "another one" if not _same_bank(features.filter_bank) else "ours", "ours"),
        ("number of baseline.prior", len(meaning.baseline.prior), len(LABELS)),
        ("number of baseline.common", len(meaning.baseline.common or LABELS), len(LABELS)),
        ("length of baseline.common", round(math.hypot(*meaning.baseline.common) or 1.0, 2), 1.0),
        ("baseline.cap at least zero", meaning.baseline.cap >= 0, True),
        (
            "shape of moods",
            [*map(len, meaning.moods.weights), len(meaning.moods.bias)],
            [len(LABELS)] * len(MOOD_GROUPS) + [len(MOOD_GROUPS)],
        ),
        ("temperature from 0.01 to 100", 0.01 <= meaning.calibration.temperature <= 100.0, True),
        ("neutral_bias from -10 to 10", -10.0 <= meaning.calibration.neutral_bias <= 10.0, True),
        (
            "windows of the baseline's prior above zero",
            min(meaning.baseline.weight_windows, meaning.baseline.along_windows) > 0,
            True,
        ),
        ("input", [i.name for i in inputs], _INPUTS),
        ("output", [o.name for o in outputs], _OUTPUTS),
    ]
    found = [fact for fact in facts if fact[1] != fact[2]]
    return found or [fact for fact in _shapes(inputs, outputs) if fact[1] != fact[2]]


def _shapes(inputs: Sequence[Any], outputs: Sequence[Any]) -> list[tuple[str, object, object]]:
    """Of a network that has them all."""
    return [
        ("bands of the input", inputs[0].shape[-1], BANDS),
        ("labels of the output", outputs[0].shape[-1], len(LABELS)),
        ("state after", outputs[1].shape[-1], inputs[1].shape[-1]),
    ]


def _same_bank(encoded: str) -> bool:
    ours = mel_filter_bank()
    try:
        bank = np.frombuffer(zlib.decompress(base64.b64decode(encoded)), np.float32)
    except (binascii.Error, zlib.error, ValueError):
        return False
    return bank.size == ours.size and bool(np.allclose(bank.reshape(ours.shape), ours, atol=1e-7))
