"""What a try said of clips that it was not fitted on, a small file a fold; read together: a cross-validated figure."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from monitor.messages import LABELS
from train.calibration import calibration_error, unweighted_recall
from train.corpus import Clip, CorpusError
from train.evaluate import interval, rounded

EXPERIMENTS = Path("train/experiments")
"""Where finished folds are kept: `TRY-foldN.csv`."""
ABLATION = "ablation-"
"""How the names of the ablations' files in the same folder begin: `train.ablations` reads them."""
HEADER = ("clip", "label", *LABELS)


@dataclass(frozen=True, slots=True)
class Predictions:
    """Of one fold."""

    path: Path
    clips: tuple[str, ...]
    """Names as CREMA-D's, which begin with the actor."""
    labels: np.ndarray = field(repr=False)
    """(n,) places in `LABELS`."""
    scores: np.ndarray = field(repr=False)
    """(n, 6)"""

    @property
    def trial(self) -> str:
        """What stands before `-fold` in the file's name."""
        return self.path.stem.rsplit("-fold", 1)[0]

    @property
    def predicted(self) -> np.ndarray:
        """(n,) places in `LABELS`."""
        return self.scores.argmax(axis=1)  # type: ignore[no-any-return]

    @property
    def right(self) -> np.ndarray:
        """(n,)"""
        return self.predicted == self.labels  # type: ignore[no-any-return]

    @property
    def actors(self) -> np.ndarray:
        """(n,)"""
        return np.array([clip.split("_")[0] for clip in self.clips])


def write_predictions(path: Path, clips: Sequence[Clip], scores: np.ndarray) -> None:
    """(clips, 6) probabilities to three digits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(HEADER)
        rows.writerows(
            (clip.name, clip.label, *(f"{score:.3f}" for score in row)) for clip, row in zip(clips, scores, strict=True)
        )


def read_predictions(path: Path) -> Predictions:
    """What `write_predictions` wrote. Raises `CorpusError` for another file."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
        if tuple(header) != HEADER:
            raise ValueError(f"its first line is {','.join(header)!r}")
        labels = np.array([LABELS.index(row[1]) for row in rows])  # type: ignore[arg-type]
        scores = np.array([[float(score) for score in row[2:]] for row in rows]).reshape(len(rows), len(LABELS))
    except (OSError, ValueError, IndexError) as error:
        raise CorpusError(f"{path} holds no predictions ({error}), expected lines of {','.join(HEADER)}") from error
    if not rows:
        raise CorpusError(f"{path} holds no predictions, expected at least one clip")
    return Predictions(path, tuple(row[0] for row in rows), labels, scores)


def kept_folds(folder: Path) -> list[Path]:
    """The folds' predictions in `folder`, without the ablations'."""
    return sorted(path for path in folder.glob("*.csv") if not path.name.startswith(ABLATION))


def summaries(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """A row a try, over all its folds. Raises `CorpusError` where folds of a try share an actor."""
    tries: dict[str, list[Predictions]] = defaultdict(list)
    for path in sorted(paths):
        tries[(found := read_predictions(path)).trial].append(found)
    return [_summary(name, folds) for name, folds in tries.items()]


def _summary(name: str, folds: Sequence[Predictions]) -> dict[str, Any]:
    seen: dict[str, Path] = {}
    for fold in folds:
        for actor in sorted(set(fold.actors)):
            if actor in seen:
                raise CorpusError(
                    f"actor {actor} is in {seen[actor]} and {fold.path}, expected each in one fold: remove one of the files"
                )
            seen[actor] = fold.path
    labels, actors = np.concatenate([f.labels for f in folds]), np.concatenate([f.actors for f in folds])
    scores = np.concatenate([f.scores for f in folds])
    predicted = scores.argmax(axis=1)
    low, high = interval(predicted == labels, labels, actors)
    return {
        "try": name,
        "folds": len(folds),
        "clips": len(labels),
        "actors": len(seen),
        "uar": rounded(unweighted_recall(predicted, labels)),
        "uar_low": rounded(low),
        "uar_high": rounded(high),
        "accuracy": rounded(np.mean(predicted == labels)),
        "ece": rounded(calibration_error(scores, labels)),
        "uar_of_folds": [rounded(unweighted_recall(f.predicted, f.labels)) for f in folds],
    }
