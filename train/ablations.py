"""What the ablations found: predictions of short trainings that differ in one thing, read side by side. Needs no TensorFlow.

The files lie with those of the folds. A variant counts when the clips of all conditions are there.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from train.bootstrap import middle_95
from train.calibration import unweighted_recall
from train.corpus import CorpusError
from train.evaluate import interval, resampled_recalls, rounded
from train.folds import ABLATION, Predictions, read_predictions
from train.variants import DEFAULT, FOLD, JUDGED, VARIANTS, Variant

TRAINED = "ablations.json"
"""How all variants of a folder were trained: schedule, network, augmentation, actors of each part."""


def predictions_path(folder: Path, variant: Variant, condition: str) -> Path:
    """Where a variant's predictions under a condition of `JUDGED` are kept; the unaltered clips' file names no condition."""
    return folder / f"{ABLATION}{variant.name}{'' if condition == 'clean' else f'-{condition}'}-fold{FOLD}.csv"


def is_judged(folder: Path, variant: Variant) -> bool:
    """Whether all of its predictions are there."""
    return all(predictions_path(folder, variant, condition).is_file() for condition in JUDGED)


def start_folder(folder: Path, trained: Mapping[str, Any]) -> None:
    """Makes the folder these ablations' own. Raises `CorpusError` where it holds others': rows could not be compared."""
    text = json.dumps(trained, indent=1) + "\n"
    path = folder / TRAINED
    if any(is_judged(folder, variant) for variant in VARIANTS.values()) and (
        not path.is_file() or json.loads(path.read_text(encoding="utf-8")) != json.loads(text)
    ):
        raise CorpusError(
            f"{folder} holds ablations that were trained otherwise (see {TRAINED} there), expected these or none: give "
            f"another --out or remove {ABLATION}*.csv"
        )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def read_ablations(folder: Path) -> dict[str, Any] | None:
    """How the variants in `folder` were trained and a row for each; None where the default is missing.

    A row has under each condition the UAR, its interval and, but for the default and what is leaky, the difference to the
    default with its interval: the same actors are drawn for both. Raises `CorpusError` for files that do not belong together.
    """
    if not (folder / TRAINED).is_file() or not is_judged(folder, VARIANTS[DEFAULT]):
        return None
    trained: dict[str, Any] = json.loads((folder / TRAINED).read_text(encoding="utf-8"))
    default = _predictions(folder, VARIANTS[DEFAULT])
    variants = [variant for variant in VARIANTS.values() if is_judged(folder, variant)]
    rows = {variant.name: _row(variant, _predictions(folder, variant), default) for variant in variants}
    return {"network": "of an earlier version"} | trained | {"rows": rows}


def _predictions(folder: Path, variant: Variant) -> dict[str, Predictions]:
    return {condition: read_predictions(predictions_path(folder, variant, condition)) for condition in JUDGED}


def _row(variant: Variant, found: Mapping[str, Predictions], default: Mapping[str, Predictions]) -> dict[str, Any]:
    clean = found["clean"]
    alone = variant.leaky or variant.name == DEFAULT
    figures = {name: _figures(rows, None if alone else default[name]) for name, rows in found.items()}
    counts = {"clips": len(clean.clips), "actors": len(set(clean.actors))}
    return {"words": variant.words, "leaky": variant.leaky, **counts, **figures}


def _figures(found: Predictions, default: Predictions | None) -> dict[str, float | None]:
    low, high = interval(found.right, found.labels, found.actors)
    uar = unweighted_recall(found.predicted, found.labels)
    difference = _difference(found, default) if default else (None, None, None)
    names = ("difference", "difference_low", "difference_high")
    return {
        "uar": rounded(uar),
        "uar_low": rounded(low),
        "uar_high": rounded(high),
        **dict(zip(names, difference, strict=True)),
    }


def _difference(found: Predictions, default: Predictions) -> tuple[float, float, float]:
    if found.clips != default.clips or not np.array_equal(found.labels, default.labels):
        raise CorpusError(f"{found.path} and {default.path} hold other clips, expected the same: train both again")
    recalls = [unweighted_recall(each.predicted, each.labels) for each in (found, default)]
    drawn = [resampled_recalls(each.right, each.labels, each.actors) for each in (found, default)]
    low, high = middle_95(drawn[0] - drawn[1])
    return rounded(recalls[0] - recalls[1]), rounded(low), rounded(high)
