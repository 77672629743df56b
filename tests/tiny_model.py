"""A model file of a few kilobytes, made in memory: the mean of each band over a window, through one dense layer."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from monitor.features import mel_filter_bank
from monitor.messages import LABELS

MEANING: dict[str, Any] = {
    "format": 2,
    "name": "tiny",
    "version": "0",
    "labels": list(LABELS),
    "sample_rate": 8_000,
    "window_s": 3.0,
    "features": {
        "kind": "log_mel",
        "frame": 512,
        "frame_hop": 125,
        "bands": 64,
        "low_hz": 60.0,
        "high_hz": 3_900.0,
        "frames": 192,
        "floor_db": 20.0,
        "spectrum": [1 / 64] * 64,
        "filter_bank": base64.b64encode(zlib.compress(mel_filter_bank().tobytes())).decode(),
    },
    "calibration": {"temperature": 1.0},
    "thresholds": {"uncertain": 0.2, "mood": 0.2},
    "baseline": {"prior": [-1.8] * 6, "weight_windows": 20.0, "cap": 2.5},
    "training": {"data": "none"},
    "licence": "Apache-2.0",
    "scores": {"uar": 0.25},
    "parameters": 384,
    "mflop": 0.1,
}


def write_tiny_model(path: Path, metadata: str | None = None, outputs: int = 6, seed: int = 0, **changes: Any) -> Path:
    """Write it to `path`; `changes` go into its meaning, `metadata` stands in place of it."""
    weights = 64 * 0.1 * np.random.default_rng(seed).standard_normal((64, outputs)).astype(np.float32).T
    nodes = [
        # No ReduceMean and no MatMul: their last bit depends on how many windows there are.
        helper.make_node("Transpose", ["features"], ["bands"], perm=[0, 2, 1]),
        helper.make_node("AveragePool", ["bands"], ["vectors"], kernel_shape=[8], strides=[8]),
        helper.make_node("Reshape", ["state", "as_earlier"], ["earlier"]),
        helper.make_node("Concat", ["earlier", "vectors"], ["all"], axis=2),
        helper.make_node("Slice", ["all", "minus_23", "infinity", "last"], ["kept"]),
        helper.make_node("Reshape", ["kept", "as_state"], ["state_after"]),
        helper.make_node("Unsqueeze", ["ends", "first"], ["end"]),
        helper.make_node("Add", ["end", "steps"], ["places"]),
        helper.make_node("Gather", ["all", "places"], ["windows"], axis=2),
        helper.make_node("Transpose", ["windows"], ["window_first"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["window_first", "as_windows"], ["window"]),
        helper.make_node("GlobalAveragePool", ["window"], ["means"]),
        helper.make_node("Reshape", ["means", "as_row"], ["row"]),
        helper.make_node("Mul", ["row", "weights"], ["weighted"]),
        helper.make_node("GlobalAveragePool", ["weighted"], ["sums"]),
        helper.make_node("Squeeze", ["sums", "last"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    integers = {
        "first": [1],
        "last": [2],
        "minus_23": [-23],
        "infinity": [1 << 60],
        "as_earlier": [-1, 64, 23],
        "as_state": [-1, 64 * 23],
        "as_windows": [-1, 64, 24],
        "as_row": [-1, 1, 64],
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", "frames", 64]),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, ["batch", 64 * 23]),
            helper.make_tensor_value_info("ends", TensorProto.INT32, ["windows"]),
        ],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["read", outputs]),
            helper.make_tensor_value_info("state_after", TensorProto.FLOAT, ["batch", 64 * 23]),
        ],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.arange(-1, 23, dtype=np.int32), "steps"),
            *(numpy_helper.from_array(np.array(value, np.int64), name) for name, value in integers.items()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {"callmood": metadata or json.dumps(MEANING | changes)})
    onnx.save(model, path)
    return path
