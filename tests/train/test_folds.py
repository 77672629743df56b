"""Predictions of finished folds are written, read and summed up; a fold is of whole actors."""

from pathlib import Path

import numpy as np
import pytest

from monitor.messages import LABELS
from tests.train.voices import cast
from train.corpus import Corpus, CorpusError
from train.folds import read_predictions, summaries, write_predictions
from train.split import fold_split


def scores_of(labels: list[str], right: float) -> np.ndarray:
    """(n, 6) with `right` on the intended label."""
    rows = np.full((len(labels), 6), (1 - right) / 5)
    rows[range(len(labels)), [LABELS.index(label) for label in labels]] = right  # type: ignore[arg-type]
    return rows


def test_what_is_written_is_read_to_three_digits(tmp_path: Path) -> None:
    clips = cast(2, each=1)
    scores = np.random.default_rng(1).dirichlet(np.ones(6), len(clips))
    write_predictions(tmp_path / "b-fold1.csv", clips, scores)
    found = read_predictions(tmp_path / "b-fold1.csv")
    assert found.trial == "b"
    assert found.clips == tuple(clip.name for clip in clips)
    assert set(found.actors) == {"1001", "1002"}
    assert found.scores == pytest.approx(scores, abs=0.0005)


def test_folds_of_a_try_are_one_figure_with_an_interval(tmp_path: Path) -> None:
    for number, right in ((1, 0.9), (2, 0.1)):
        clips = [clip for clip in cast(4, each=1) if int(clip.actor) % 2 == number % 2]
        write_predictions(tmp_path / f"b-fold{number}.csv", clips, scores_of([c.label for c in clips], right))
    (row,) = summaries(tmp_path.glob("*.csv"))
    assert (row["try"], row["folds"], row["clips"], row["actors"]) == ("b", 2, 24, 4)
    assert row["uar"] == 0.5
    assert (row["uar_low"], row["uar_high"]) == (0.0, 1.0)
    assert row["uar_of_folds"] == [1.0, 0.0]


def test_an_actor_in_two_folds_is_refused(tmp_path: Path) -> None:
    clips = cast(1, each=1)
    for number in (1, 2):
        write_predictions(tmp_path / f"b-fold{number}.csv", clips, scores_of([c.label for c in clips], 0.9))
    with pytest.raises(CorpusError, match=r"actor 1001 is in .*fold1\.csv and .*fold2\.csv"):
        summaries(tmp_path.glob("*.csv"))


@pytest.mark.parametrize("text", ["", "clip,label\n", "clip,label,anger,disgust,fear,happy,neutral,sad\nx,bored,1,0,0,0,0,0\n",
                                  "clip,label,anger,disgust,fear,happy,neutral,sad\n",
                                  "clip,label,anger,disgust,fear,happy,neutral,sad\nx,sad,1,0\n"])  # fmt: skip
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(CorpusError, match="holds no predictions"):
        read_predictions(tmp_path / "x.csv")
    with pytest.raises(CorpusError, match="holds no predictions"):
        read_predictions(tmp_path / "none.csv")


def test_every_actor_is_left_out_once_and_never_fitted_on_then() -> None:
    corpus = Corpus(cast(11, each=1), {})
    splits = [fold_split(corpus, number, 5, 1) for number in range(1, 6)]
    assert sorted(actor for split in splits for actor in split.validation) == list(corpus.actors)
    assert all(len(split.fitted) + len(split.tuning) + len(split.validation) == 11 for split in splits)
    with pytest.raises(CorpusError, match="fold is 6 of 5"):
        fold_split(corpus, 6, 5, 1)
