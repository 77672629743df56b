"""The pictures, each from figures that stand in a file as well. matplotlib draws without a screen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from monitor.audio import SAMPLE_RATE
from monitor.messages import LABELS
from train.corpus import Clip

DPI = 80


def _save(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)


def draw_training_curve(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Loss an epoch, and the tuning actors' UAR where it was measured."""
    figure, left = plt.subplots(figsize=(7, 4))
    left.plot(
        [row["epoch"] for row in history], [row["loss"] for row in history], color="tab:blue", label="training loss"
    )
    left.set(xlabel="epoch", ylabel="cross-entropy (mixup, soft targets)")
    if measured := [row for row in history if "tuning_uar" in row]:
        right = left.twinx()
        epochs, recalls = [row["epoch"] for row in measured], [row["tuning_uar"] for row in measured]
        right.plot(epochs, recalls, "o-", color="tab:orange", label="UAR")
        right.set(ylabel="UAR, tuning actors", ylim=(0, 1))
    figure.legend(loc="upper center", ncols=2)
    _save(figure, path)


def draw_confusion(matrices: Mapping[str, Sequence[Sequence[int]]], path: Path) -> None:
    """One confusion matrix a title: share of each intended emotion that was given each label."""
    figure, axes = plt.subplots(1, len(matrices), figsize=(5.2 * len(matrices), 4.8), squeeze=False)
    for axis, (title, counts) in zip(axes[0], matrices.items(), strict=True):
        shares = np.array(counts) / np.maximum(1, np.sum(counts, axis=1, keepdims=True))
        axis.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
        for (row, column), share in np.ndenumerate(shares):
            axis.text(column, row, f"{share:.2f}", ha="center", va="center", color="white" if share > 0.5 else "black")
        axis.set(title=title, xlabel="given", ylabel="intended", xticks=range(len(LABELS)), yticks=range(len(LABELS)))
        axis.set_xticklabels(LABELS, rotation=45)
        axis.set_yticklabels(LABELS)
    _save(figure, path)


def draw_coverage(conditions: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Accuracy of the most confident share of the clips, a line a condition."""
    figure, axis = plt.subplots(figsize=(6, 4))
    for name, row in conditions.items():
        axis.plot(
            [point["coverage"] for point in row["coverage"]],
            [point["accuracy"] for point in row["coverage"]],
            "o-",
            label=name,
        )
    axis.set(xlabel="share of clips that get a label", ylabel="accuracy on these", ylim=(0, 1))
    axis.grid(alpha=0.3)
    axis.legend()
    _save(figure, path)


def draw_conditions(conditions: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """UAR with its interval, a bar a condition."""
    figure, axis = plt.subplots(figsize=(7, 4))
    names, uars = list(conditions), [row["uar"] for row in conditions.values()]
    around = [
        [row["uar"] - row["uar_low"] for row in conditions.values()],
        [row["uar_high"] - row["uar"] for row in conditions.values()],
    ]
    axis.barh(names, uars, xerr=around, color="tab:blue", alpha=0.7)
    axis.axvline(1 / len(LABELS), color="grey", linestyle=":", label="chance")
    axis.set(xlabel="UAR, whole actors out, 95 % interval over actors", xlim=(0, 1))
    axis.invert_yaxis()
    axis.legend()
    _save(figure, path)


def draw_reliability(bins: Sequence[Mapping[str, float]], path: Path) -> None:
    """How often the model is right when it is so sure; dots are as large as their bins."""
    figure, axis = plt.subplots(figsize=(5, 5))
    axis.plot([0, 1], [0, 1], color="grey", linestyle=":", label="as sure as right")
    sizes = [4.0 * row["clips"] for row in bins]
    axis.scatter([row["confidence"] for row in bins], [row["accuracy"] for row in bins], sizes, alpha=0.6)
    axis.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    axis.legend(loc="upper left")
    _save(figure, path)


def draw_waves(clips: Sequence[Clip], path: Path) -> None:
    """One waveform a label by librosa's display (`waveshow`; its `waveplot` is gone)."""
    import librosa.display

    figure, axes = plt.subplots(len(clips), 1, figsize=(8, 1.5 * len(clips)), sharex=True, squeeze=False)
    for axis, clip in zip(axes[:, 0], clips, strict=True):
        librosa.display.waveshow(clip.samples, sr=SAMPLE_RATE, ax=axis)
        axis.set(ylabel=clip.label, xlabel="")
    axes[-1, 0].set(xlabel="seconds")
    _save(figure, path)


def draw_accuracy_curves(histories: Mapping[str, Mapping[str, Sequence[float]]], path: Path) -> None:
    """Accuracy an epoch, one panel a training: on what it learns from, and on the rest."""
    figure, axes = plt.subplots(1, len(histories), figsize=(5 * len(histories), 3.6), sharey=True, squeeze=False)
    for axis, (title, history) in zip(axes[0], histories.items(), strict=True):
        axis.plot(history["accuracy"], label="training clips")
        axis.plot(history["val_accuracy"], label="test clips")
        axis.set(title=title, xlabel="epoch", ylabel="accuracy", ylim=(0, 1))
        axis.legend()
    _save(figure, path)
