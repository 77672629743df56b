"""A training that is interrupted goes on from its last whole epoch, and ends where an unbroken one does."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from monitor.errors import ModelError
from train.__main__ import app
from train.batches import Batches, Schedule, blended, over_earlier_levels, paired, spread, warp
from train.checkpoint import described, load_checkpoint, save_checkpoint, weights_digest
from train.commands import average_trainings
from train.corpus import CorpusError, load_corpus
from train.dataset import Recipe, asked_besides
from train.split import read_split

SMALL: dict[str, Any] = {"stem": 4, "stages": ((8, 2, 2), (8, 2, 2)), "vector": 8, "attention": 4}

pytestmark = pytest.mark.filterwarnings("ignore")
"""TensorFlow's own."""


class PowerCutError(Exception):
    """Stands for a power cut after a whole epoch."""


def train(corpus_root: Path, work: Path, stop_after: int | None) -> np.ndarray:
    """The weights after two epochs, in one vector; raises `PowerCutError` after `stop_after`."""
    from train.fit import fit, prepare
    from train.network import Architecture

    corpus = load_corpus(corpus_root)
    split = read_split(corpus_root, corpus, 1)
    workshop = prepare(corpus, split, None, Recipe(), 1)

    def told(row: dict[str, float]) -> None:
        if row["epoch"] == stop_after:
            raise PowerCutError

    work.mkdir(exist_ok=True)
    schedule = Schedule(epochs=2, batch=10)
    network = fit(workshop, corpus.of(split.tuning), schedule, Architecture(**SMALL), work, told)
    assert not (work / "windows").exists()
    return np.concatenate([weights.ravel() for weights in network.get_weights()])


def test_an_interrupted_training_ends_as_an_unbroken_one(tiny_corpus: Path, tmp_path: Path) -> None:
    unbroken = train(tiny_corpus, tmp_path / "unbroken", None)
    with pytest.raises(PowerCutError):
        train(tiny_corpus, tmp_path / "broken", 1)
    resumed = train(tiny_corpus, tmp_path / "broken", None)
    assert np.isfinite(resumed).all()
    assert resumed == pytest.approx(unbroken, abs=0.02)


def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    import keras

    with pytest.raises(CorpusError, match=r"has no last\.keras, meaning\.json, expected a training's folder"):
        load_checkpoint(tmp_path)
    values = keras.Input((10, 4))
    keras.Model(values, keras.layers.Dense(2)(values)).save(tmp_path / "last.keras")
    meaning = {"floor_db": 20.0, "spectrum": [1 / 64] * 64, "architecture": SMALL}
    (tmp_path / "meaning.json").write_text(json.dumps(meaning))
    with pytest.raises(ModelError, match=r"last\.keras takes and gives .*\(None, 10, 4\).* expected"):
        load_checkpoint(tmp_path)
    (tmp_path / "last.keras").write_bytes(b"no network")
    with pytest.raises(ModelError, match="is no network of this version"):
        load_checkpoint(tmp_path)


def weights(folder: Path) -> str:
    return weights_digest(load_checkpoint(folder)[0])


def trainings(folder: Path, **second: Any) -> list[Path]:
    """Two checkpoints, the second one begun from the first; `second` is what its meaning says otherwise."""
    import keras

    from train.network import Architecture, build_network

    split = {"source": "two", "fitted": ["1"], "tuning": ["2"], "validation": ["3"]}
    meaning: dict[str, Any] = {"split": split, "architecture": SMALL, "floor_db": 20.0, "spectrum": [1 / 64] * 64}
    meaning |= {"clips": 9, "augmentation": "none", "noises": "none", "started_from": None}
    for number, name in enumerate(("one", "other"), 1):
        keras.utils.set_random_seed(number)
        own = meaning | {"schedule": {"epochs": 30 + number, "seed": number}}
        if name == "other":
            own |= {"started_from": {"sha256": weights(folder / "one"), "epochs": 31}} | second
        save_checkpoint(build_network(Architecture(**SMALL)), own, folder / name)
    return [folder / "one", folder / "other"]


def test_a_mean_of_trainings_is_a_checkpoint_that_says_whose(tmp_path: Path) -> None:
    from train.export import training_facts

    (one, other), mean = trainings(tmp_path, teachers=["a", "b"]), tmp_path / "mean"
    done = CliRunner().invoke(app, ["average", str(one), str(other), "--work", str(mean)])
    words = [
        f"{weights(one)[:12]}: epochs 31, seed 1",
        f"{weights(other)[:12]}: epochs 32, seed 2, teachers 2, from {weights(one)[:12]}",
    ]
    assert (done.exit_code, done.stdout) == (0, f"{mean}: the mean of\n  {words[0]}\n  {words[1]}\n")
    rows = [load_checkpoint(folder)[0].get_weights() for folder in (one, other, mean)]
    for first, second, both in zip(*rows, strict=True):
        np.testing.assert_allclose(both, (first + second) / 2, atol=1e-6)
    meaning = load_checkpoint(mean)[1]
    facts = training_facts(meaning)
    assert facts["averaged"] == words
    assert not {"epochs", "seed", "started_from", "teachers"} & set(facts)
    assert described(load_checkpoint(mean)[0], meaning) == f"{weights(mean)[:12]}: the mean of 2"
    with pytest.raises(
        CorpusError, match="mean holds a network already, expected a new folder: give another --work or remove"
    ):
        average_trainings([one, other], mean)


@pytest.mark.parametrize(
    ("second", "name"),
    [
        ({"floor_db": 25.0}, "features"),
        ({"spectrum": [1 / 32] * 64}, "features"),
        ({"data": "own recordings (3 speakers)"}, "data"),
        ({"split": {"source": "two", "fitted": ["2"], "tuning": ["1"], "validation": ["3"]}}, "speakers"),
    ],
)
def test_a_mean_is_refused_of_trainings_on_other_things(tmp_path: Path, second: dict[str, Any], name: str) -> None:
    one, other = trainings(tmp_path, **second)
    with pytest.raises(CorpusError) as caught:
        average_trainings([one, other], tmp_path / "mean")
    assert str(caught.value) == f"{other} has other {name} than {one}, expected the same: name trainings of one network"
    assert not (tmp_path / "mean").exists()


def test_a_network_is_the_same_in_whatever_file(tmp_path: Path) -> None:
    one, other = trainings(tmp_path)
    save_checkpoint(*load_checkpoint(one), tmp_path / "again")
    assert (tmp_path / "again" / "last.keras").read_bytes() != (one / "last.keras").read_bytes()
    assert weights(tmp_path / "again") == weights(one) != weights(other)
    average_trainings([tmp_path / "again", other], tmp_path / "mean")


@pytest.mark.parametrize("origin", [None, "a version before said it in words", {"sha256": "f" * 64, "epochs": 9}])
def test_a_mean_is_refused_of_networks_that_began_apart(tmp_path: Path, origin: dict[str, Any] | str | None) -> None:
    folders = trainings(tmp_path, started_from=origin)
    with pytest.raises(CorpusError) as caught:
        average_trainings(folders, tmp_path / "mean")
    assert str(caught.value) == (
        "the checkpoints began from different networks, expected all from one (`fit --from`), or that one too: name those"
    )


def test_a_mean_is_refused_of_one_alone_or_twice(tmp_path: Path) -> None:
    one, _ = trainings(tmp_path)
    for folders, text in (
        ([one], "1 checkpoint named, expected two or more: a mean needs several"),
        ([one, one], "a checkpoint is named twice, expected each once: leave one out"),
    ):
        with pytest.raises(CorpusError) as caught:
            average_trainings(folders, tmp_path / "mean")
        assert str(caught.value) == text


def test_every_epoch_is_the_same_whichever_is_asked_for_first(tiny_corpus: Path, tmp_path: Path) -> None:
    from train.fit import prepare

    corpus = load_corpus(tiny_corpus)
    workshop = prepare(corpus, read_split(tiny_corpus, corpus, 1), None, Recipe(), 1)
    heads = asked_besides(workshop.clips)
    assert list(heads) == ["sex"]  # the corpus has one sentence and no votes
    wanted, schedule = (
        [np.eye(6, dtype=np.float32)[[0] * len(workshop.clips)], heads["sex"]],
        Schedule(epochs=4, short_share=0.75, batch=10),
    )

    def teacher(features: np.ndarray) -> np.ndarray:
        return np.tile(np.float32([0.5, 0.1, 0.1, 0.1, 0.1, 0.1]), (len(features), 1))

    def all_of(batches: Batches, epoch: int) -> tuple[np.ndarray, ...]:
        given, targets = zip(*batches.epoch(epoch), strict=True)
        return np.concatenate(given), *(np.concatenate(several) for several in zip(*targets, strict=True))

    with Batches(workshop, schedule, wanted, tmp_path / "a", None) as batches:
        third = all_of(batches, 2)
    with Batches(workshop, schedule, wanted, tmp_path / "b", teacher) as batches:
        first, again = all_of(batches, 0), all_of(batches, 2)
    for found in (first, third):
        assert [part.shape[1:] for part in found] == [(192, 64), (6,), (2,)]
        assert len(found[1]) == 2 * len(found[0]) == 10 * (len(workshop.clips) // 10)
    with Batches(workshop, schedule, wanted, tmp_path / "a", None) as batches:
        assert all(np.array_equal(one, other) for one, other in zip(third, all_of(batches, 2), strict=True))
        assert all_of(batches, 3)[0].shape[1:] == (384, 64)
    assert third[1][:, 0] == pytest.approx(1.0)
    assert {path.name for path in (tmp_path / "b").iterdir()} == {
        *("windows-00.npy", "windows-01.npy", "taught-00.npy", "taught-01.npy"),
    }
    # A quarter of what was acted, three of what the teacher says.
    assert again[1] == pytest.approx(np.tile([0.625, *(5 * [0.075])], (len(again[1]), 1)))


def test_pairs_are_of_one_speaker_but_for_the_odd_ones() -> None:
    speakers = ["a"] * 3 + ["b"] * 6 + ["c"] * 3 + ["d"]
    pairs = paired(speakers, np.random.default_rng(1))
    assert pairs.shape == (6, 2)
    assert len({*pairs.ravel()}) == 12
    found = sorted("".join(sorted(speakers[place] for place in pair)) for pair in pairs)
    assert found == ["aa", "ac", "bb", "bb", "bb", "cc"]
    assert not np.array_equal(pairs, paired(speakers, np.random.default_rng(2)))


def test_one_clip_is_too_few_to_learn_from(tiny_corpus: Path, tmp_path: Path) -> None:
    from train.fit import fit, prepare
    from train.network import Architecture

    corpus = load_corpus(tiny_corpus)
    workshop = prepare(corpus, read_split(tiny_corpus, corpus, 1), None, Recipe(), 1)
    alone = replace(workshop, clips=workshop.clips[:1])
    with pytest.raises(CorpusError, match="1 clips to learn from, expected two or more: add recordings of speakers"):
        fit(alone, (), Schedule(epochs=1), Architecture(**SMALL), tmp_path, lambda _: None)


def test_the_level_wanders_backwards_from_the_last_half_second() -> None:
    recipe = Recipe(level_step_db=1.0, level_steady_share=0.25)
    before = np.full((400, 192, 64), 0.3, np.float32)
    after = over_earlier_levels(before, recipe, np.random.default_rng(1))
    silent = 10.0 ** (-recipe.floor_db / 10.0)
    shifts_db = 10.0 * np.log10((10.0**after - silent) / (10.0**before - silent))
    halves_db = shifts_db.reshape(400, 6, 32, 64)
    assert np.ptp(halves_db, axis=(2, 3)).max() < 1e-3
    assert np.abs(halves_db[:, -1]).max() < 1e-3
    steady = np.abs(shifts_db).max(axis=(1, 2)) < 1e-3
    assert steady.mean() == pytest.approx(0.25, abs=0.06)
    steps_db = np.abs(np.diff(halves_db[~steady, :, 0, 0], axis=1))
    assert steps_db.mean() == pytest.approx(1.0, abs=0.1)
    assert np.abs(halves_db[~steady, 0, 0, 0]).mean() > 1.5 * np.abs(halves_db[~steady, 4, 0, 0]).mean()


def test_contrasts_grow_and_shrink_about_what_is_loud() -> None:
    recipe = Recipe(spread=0.15, spread_share=0.7)
    before = np.tile(np.where(np.arange(192) % 2, 1.0, 0.0).astype(np.float32)[:, None], (400, 1, 64))
    after = spread(before, recipe, np.random.default_rng(1))
    assert after[:, 1::2] == pytest.approx(1.0, abs=1e-5)  # mean and deviation of these are a half each
    factors = 1.0 - after[:, 0]
    assert after == pytest.approx(np.where(before > 0.5, 1.0, 1.0 - factors[:, None]), abs=1e-5)
    changed = np.abs(factors - 1.0).max(axis=1) > 1e-6
    assert changed.mean() == pytest.approx(0.7, abs=0.07)
    assert np.log(factors[changed][:, 0]).std() == pytest.approx(0.15 * np.sqrt(2), abs=0.03)
    pauses = before.copy()
    pauses[:, :20] = -2.5
    assert np.array_equal(spread(pauses, recipe, np.random.default_rng(1))[:, :20], pauses[:, :20])
    deep = np.tile(np.where(np.add.outer(np.arange(192), np.arange(64)) % 2, 0.0, -2.4).astype(np.float32), (9, 1, 1))
    assert spread(deep, recipe, np.random.default_rng(1)).min() == -2.5  # the features' floor


def test_windows_are_learnt_from_with_other_contrasts() -> None:
    recipe = Recipe(mixup=0.0, warped_share=0.0, level_step_db=0.0, spread_share=1.0, masked_frames=0, masked_bands=0)
    before = np.tile(np.where(np.arange(192) % 2, 1.0, 0.0).astype(np.float32)[:, None], (8, 1, 64))
    after, _ = blended(before.copy(), [np.eye(8, dtype=np.float32)], recipe, np.random.default_rng(1))
    assert np.all(np.abs(after - before).max(axis=(1, 2)) > 0.005)


def test_pairs_are_mixed_as_a_whole() -> None:
    recipe = Recipe(mixup=0.5, warped_share=0.0, level_step_db=0.0, spread=0.0, masked_frames=0, masked_bands=0)
    windows = np.tile(np.arange(12, dtype=np.float32)[:, None, None], (1, 16, 64))
    mixed, (whose,) = blended(windows.copy(), [np.eye(12, dtype=np.float32)], recipe, np.random.default_rng(1))
    assert mixed[:, 0, 0] == pytest.approx(whose @ np.arange(12), abs=1e-4)
    assert whose[::2, 1::2].max() == whose[1::2, ::2].max() == 0.0  # first ones with first ones
    assert np.array_equal(whose[::2, ::2], whose[1::2, 1::2])
    assert np.count_nonzero(whose[::2], axis=1).max() == 2


def test_a_warp_reads_bands_elsewhere_and_masks_reach_the_floor() -> None:
    ramp = np.tile(np.arange(64, dtype=np.float32), (50, 94, 1))
    warped = warp(ramp, Recipe(warped_share=0.5, warp=0.1), np.random.default_rng(1))
    factors = warped[:, 0, 20] / 20
    assert warped == pytest.approx(np.minimum(ramp * factors[:, None, None], 63.0), abs=1e-2)
    assert 10 <= np.count_nonzero(factors == 1.0) <= 40
    assert factors.min() >= 0.9
    assert factors.max() <= 1.1
    emotions = [np.eye(6, dtype=np.float32)[[0] * 50]]
    still, targets = blended(
        ramp.copy(),
        emotions,
        Recipe(mixup=0.0, warped_share=0.0, level_step_db=0.0, spread=0.0),
        np.random.default_rng(1),
    )
    assert still.min() == -Recipe().floor_db / 10.0
    assert targets[0][:, 0] == pytest.approx(1.0)
