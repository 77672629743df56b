"""Keras → ONNX with the meaning inside the file; refused where the two disagree."""

import base64
import json
import math
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx

from monitor import features
from monitor.audio import SAMPLE_RATE
from monitor.errors import ModelError
from monitor.features import BANDS
from monitor.messages import LABELS
from monitor.model import CELL_VECTORS, FORMAT, METADATA_KEY
from monitor.windows import CELL_FRAMES
from train.calibration import CAP, PLAIN_WINDOWS
from train.dataset import FRAMES, WINDOW_S
from train.fit import CREMAD
from train.network import POOLED, Architecture, mflop, streaming

NAME, VERSION = "callmood-cremad", "1.0"
OWN_NAME = "callmood-own"
"""Of a network that learnt from other recordings than CREMA-D, or from others as well."""
OPSET = 17
EVEN = -math.log(len(LABELS))
"""Log score of six labels that are all as probable."""
TOLERANCE = 1e-4
"""Largest difference between a Keras and an ONNX probability."""
LARGEST_MB = 5.0
OWN_LICENCE = "weights of whoever trained them"
LICENCE = "weights Apache-2.0; trained on CREMA-D, Open Database License 1.0, contents Database Contents License 1.0"
CITATION = "Cao, Cooper, Keutmann, Gur, Nenkova, Verma: CREMA-D, IEEE Transactions on Affective Computing 5(4), 2014"


def convert(network: keras.Model, architecture: Architecture) -> onnx.ModelProto:
    """The network as ONNX: see `train.network.build_streaming`. Any batch, any number of frames that is a multiple of 8."""
    stream = streaming(network, architecture)
    signature = [
        tf.TensorSpec((None, None, BANDS), tf.float32, name="features"),
        tf.TensorSpec((None, stream.inputs[1].shape[-1]), tf.float32, name="state"),
        tf.TensorSpec((None,), tf.int32, name="ends"),
    ]
    function = tf.function(lambda *given: stream([*given], training=False))
    converted, _ = tf2onnx.convert.from_function(function, signature, opset=OPSET)
    _name_outputs(converted.graph, ("probabilities", "state_after"))
    return converted


def _name_outputs(graph: onnx.GraphProto, names: Sequence[str]) -> None:
    """tf2onnx calls a function's outputs `Identity:0`, `Identity_1:0`."""
    new = {output.name: name for output, name in zip(graph.output, names, strict=True)}
    for node in graph.node:
        node.output[:] = [new.get(name, name) for name in node.output]
    for output in graph.output:
        output.name = new[output.name]


def difference(network: keras.Model, model: onnx.ModelProto, windows: np.ndarray | None = None) -> float:
    """Largest difference between the two on `windows`, or on random ones, a silent and a loud one, which the ONNX network is told
    at once and piece by piece."""
    if windows is None:
        windows = np.random.default_rng(0).normal(-0.7, 0.9, (34, FRAMES, BANDS)).astype(np.float32)
        windows[0], windows[1] = -2.5, 3.0
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    beginning = state = np.zeros((len(windows), session.get_inputs()[1].shape[-1]), np.float32)
    pieces, cell = [], CELL_VECTORS
    for piece in np.split(windows, FRAMES // CELL_FRAMES, axis=1):
        given = {"features": piece, "state": state, "ends": np.int32([cell])}
        probabilities, state = session.run(None, given)
        pieces.append(probabilities)
    ends = np.arange(cell, POOLED + 1, cell, dtype=np.int32)
    at_once = session.run(None, {"features": windows, "state": beginning, "ends": ends})[0]
    wanted = network(windows, training=False).numpy()
    apart = np.abs(at_once.reshape(len(windows), len(ends), -1) - np.stack(pieces, axis=1))
    return max(float(np.abs(pieces[-1] - wanted).max()), float(apart.max()))


def feature_settings(meaning: Mapping[str, Any]) -> dict[str, Any]:
    """How `features` come from samples, with the filter bank."""
    bank = zlib.compress(features.mel_filter_bank().astype("<f4").tobytes(), 9)
    return {
        "kind": "log_mel",
        "frame": features.FRAME,
        "frame_hop": features.FRAME_HOP,
        "bands": BANDS,
        "low_hz": features.LOW_HZ,
        "high_hz": features.HIGH_HZ,
        "frames": FRAMES,
        "floor_db": meaning["floor_db"],
        "spectrum": meaning["spectrum"],
        "filter_bank": base64.b64encode(bank).decode("ascii"),
    }


def training_facts(meaning: Mapping[str, Any]) -> dict[str, Any]:
    """What the weights were learnt from, and how."""
    split = meaning["split"]
    return {
        "data": meaning.get("data", CREMAD),
        "citation": CITATION if "CREMA-D" in meaning.get("data", CREMAD) else "none",
        "clips": meaning["clips"],
        "split": split["source"],
        "fitted": split["fitted"],
        "tuned": split["tuning"],
        "validated": split["validation"],
        **_lineage(meaning),
        "augmentation": meaning["augmentation"],
        "noises": meaning["noises"],
    }


def _lineage(meaning: Mapping[str, Any]) -> dict[str, Any]:
    if "averaged" in meaning:
        return {"averaged": meaning["averaged"]}
    return {
        "epochs": meaning["schedule"]["epochs"],
        "seed": meaning["schedule"]["seed"],
        "started_from": meaning.get("started_from"),
        "teachers": len(meaning.get("teachers", ())),
    }


def metadata(network: keras.Model, meaning: Mapping[str, Any]) -> dict[str, Any]:
    """What the file says about itself before anything is calibrated: nothing is corrected, and every label is given."""
    data = meaning.get("data", CREMAD)
    return {
        "format": FORMAT,
        "name": NAME if data == CREMAD else OWN_NAME,
        "version": VERSION,
        "labels": list(LABELS),
        "sample_rate": SAMPLE_RATE,
        "window_s": WINDOW_S,
        "features": feature_settings(meaning),
        "calibration": {"temperature": 1.0},
        "thresholds": {"uncertain": 0.0, "mood": 0.0},
        "baseline": {"prior": [EVEN] * len(LABELS), "weight_windows": PLAIN_WINDOWS, "cap": CAP},
        "training": training_facts(meaning),
        "licence": LICENCE if data == CREMAD else f"{OWN_LICENCE}; {LICENCE}" if CREMAD in data else OWN_LICENCE,
        "scores": {},
        "parameters": int(network.count_params()),
        "mflop": round(mflop(network), 2),
    }


def refuse_difference(network: keras.Model, model: onnx.ModelProto, windows: np.ndarray | None) -> None:
    """Raises `ModelError` when the two differ by more than `TOLERANCE` on (n, 192, 64) `windows` or on random ones."""
    gap = max(difference(network, model, given) for given in (None, windows))
    if not gap <= TOLERANCE:
        raise ModelError(
            f"keras and onnx differ by {gap:.2g}, expected at most {TOLERANCE:g}: keep to layers that tf2onnx converts"
        )


def export(
    network: keras.Model,
    meaning: Mapping[str, Any],
    path: Path,
    windows: np.ndarray | None = None,
) -> dict[str, Any]:
    """Writes `path` and returns its metadata. Raises `ModelError` when Keras and ONNX disagree or the file is too large."""
    model = convert(network, Architecture(**meaning["architecture"]))
    refuse_difference(network, model, windows)
    described = metadata(network, meaning)
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(described)})
    content = model.SerializeToString()
    if len(content) > LARGEST_MB * 1e6:
        raise ModelError(
            f"model file is {len(content) / 1e6:.1f} MB, expected at most {LARGEST_MB:g}: make the network smaller"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return described
