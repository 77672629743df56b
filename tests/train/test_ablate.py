"""Variants are trained on what they say they are, and only those whose predictions are missing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.features import LEAD
from tests.train.voices import cast
from train.ablations import is_judged, predictions_path, read_ablations
from train.batches import Batches, Schedule
from train.corpus import Clip, Corpus, CorpusError
from train.dataset import Recipe, Workshop
from train.folds import read_predictions
from train.split import fold_split
from train.variants import VARIANTS, Variant, named

SMALL: dict[str, Any] = {"stem": 4, "stages": ((8, 2, 2), (8, 2, 2)), "vector": 8, "attention": 4}

pytestmark = pytest.mark.filterwarnings("ignore")
"""TensorFlow's own."""


@pytest.fixture
def eager() -> Iterator[None]:
    """TensorFlow does not compile what runs a few times only: that takes longer than all steps."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def with_sexes(clips: tuple[Clip, ...]) -> Corpus:
    """Every other actor is a woman."""
    return Corpus(tuple(replace(clip, sex=("Female", "Male")[int(clip.actor) % 2]) for clip in clips), {})


def bench(corpus: Corpus, work: Path, told: list[str] | None = None) -> Any:
    """Every network that has learnt is noted in `told`, and every line that is said."""
    from train.ablate import Bench
    from train.network import Architecture

    notes = [] if told is None else told
    schedule = Schedule(epochs=1, short_share=1.0, batch=8, generations=1)
    split, sizes = fold_split(corpus, 1, 4, 1), Architecture(**SMALL)
    return Bench(corpus, split, None, schedule, sizes, work, lambda name, *_: notes.append(name), notes.append)


@pytest.mark.usefixtures("eager")
def test_variants_are_trained_once_and_judged_on_their_actors(tmp_path: Path) -> None:
    from train.ablate import ablate

    told: list[str] = []
    ours = bench(with_sexes(cast(8, each=1)), tmp_path / "work", told)
    some = named("default,separate_sexes,zero_crossings_and_centroid,random_split_leaky")

    ablate(ours, some[:1], tmp_path / "out")
    ablate(ours, some, tmp_path / "out")
    networks = [*dict.fromkeys(name for name in told if " " not in name)]
    assert networks == [
        *("default", "separate_sexes-female", "separate_sexes-male"),
        *("zero_crossings_and_centroid", "random_split_leaky"),
    ]
    assert told[0] == "default: windows 1 of 1 of every clip"
    assert all(is_judged(tmp_path / "out", variant) for variant in some)
    held_out = tuple(clip.name for clip in ours.corpus.of(ours.split.validation))
    for variant in some:
        found = read_predictions(predictions_path(tmp_path / "out", variant, "clean"))
        assert (found.clips == held_out) != variant.leaky
        assert found.scores.sum(axis=1) == pytest.approx(1.0, abs=0.004)
    assert list(read_ablations(tmp_path / "out")["rows"]) == [variant.name for variant in some]  # type: ignore[index]
    assert not list((tmp_path / "work").rglob("*.npy"))
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == sorted(networks)


def test_who_is_fitted_and_who_is_judged(tmp_path: Path) -> None:
    ours = bench(with_sexes(cast(8, each=1)), tmp_path)
    fitted, judged = ours.parts(VARIANTS["default"])
    assert {clip.actor for clip in fitted}.isdisjoint({clip.actor for clip in judged})
    silent, same = ours.parts(VARIANTS["without_sex"])
    assert ({clip.sex for clip in silent}, same) == ({None}, judged)
    learnt, tested = ours.parts(VARIANTS["random_split_leaky"])
    assert (len(learnt), len(tested)) == (len(fitted), len(judged))
    assert {clip.name for clip in learnt}.isdisjoint({clip.name for clip in tested})
    assert {clip.actor for clip in learnt} & {clip.actor for clip in tested}


def test_what_asks_for_sex_is_refused_where_it_is_not_known(tmp_path: Path) -> None:
    from train.ablate import ablate

    ours = bench(Corpus(cast(8, each=1), {}), tmp_path)
    with pytest.raises(CorpusError, match="48 clips do not say the speaker's sex, expected all to for separate_sexes"):
        ablate(ours, named("default,separate_sexes"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: variant.name)
def test_a_variant_differs_in_one_thing(variant: Variant) -> None:
    others = {"separate_sexes_longer": "separate_sexes", "random_split_leaky": "default_longer"}
    other = VARIANTS[others.get(variant.name, "default")]
    differs = [name for name in Variant.__slots__[2:] if getattr(variant, name) != getattr(other, name)]
    assert len(differs) == (variant.name != "default")


def test_unmoved_clips_begin_their_windows_and_their_halves_are_always_the_same(tmp_path: Path) -> None:
    still = Recipe(moved=False, joined_share=0.0, voice_share=0.0, gated_share=0.0, compressed_share=0.0, line_share=0.0,
                   noisy_share=0.0, codec_share=0.0, lossy_share=0.0, warped_share=0.0, masked_frames=0, masked_bands=0,
                   mixup=0.0, level_db=(-20.0, -20.0), level_step_db=0.0, spread=0.0)  # fmt: skip
    clips = cast(2, each=1)
    workshop = Workshop.of(clips, None, still, 1)
    for index, clip in enumerate(clips):
        window = workshop.window(index, index)
        level = np.abs(window).max() / np.abs(clip.samples).max()
        before, voice, after = np.split(window, [LEAD, LEAD + len(clip.samples)])
        assert voice == pytest.approx(clip.samples * level, abs=1e-4)
        assert not before.any()
        assert not after.any()
    # What is asked for is the clip's own number, so that it can be followed from epoch to epoch.
    numbers = [np.eye(len(clips), dtype=np.float32)]
    schedule = Schedule(epochs=2, short_share=1.0, batch=len(clips), generations=1)
    halves = []
    with Batches(workshop, schedule, numbers, tmp_path, None) as batches:
        for epoch in range(2):
            ((features, (whose,)),) = batches.epoch(epoch)
            halves.append(features.reshape(-1, 96, 64)[whose.argmax(axis=0)])
    assert np.array_equal(halves[0], halves[1])
    assert halves[0].shape == (len(clips), 96, 64)
