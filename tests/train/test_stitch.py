"""Pseudo-calls hold one actor's clips in the order of their kind, say when each label is heard, and come out alike for a seed."""

from pathlib import Path

import numpy as np
import pytest

from monitor.features import mel_power
from tests.train.voices import cast, clip
from train.call_folder import read_folder
from train.corpus import CorpusError
from train.moods import mood_stretches
from train.stitch import CLIPS, KINDS, Line, pseudo_call, stitched, write_calls


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_is_of_its_kinds_labels(kind: str) -> None:
    call = pseudo_call(cast(1), kind, 1, 1)
    labels = {label for part in KINDS[kind] for label in part}
    assert {stretch.label for stretch in call.stretches} == labels
    edges = [edge for stretch in call.stretches for edge in (stretch.start_s, stretch.end_s)]
    assert edges == sorted(edges)
    assert edges[-1] == pytest.approx(len(call.samples) / 8_000)
    assert np.isfinite(call.samples).all()
    assert np.abs(call.samples).max() <= 1.0


def test_moods_follow_the_parts_of_a_call() -> None:
    call = pseudo_call(cast(1), "growing_anger", 1, 1)
    assert [mood for _, _, mood in mood_stretches(call.stretches)] == ["calm", "angry", "calm"]
    mixed = pseudo_call(cast(1), "dissatisfied", 1, 1)
    assert [mood for _, _, mood in mood_stretches(mixed.stretches)] == ["dissatisfied"]


def test_the_same_seed_makes_the_same_call_and_another_another() -> None:
    clips = cast(1)
    assert np.array_equal(pseudo_call(clips, "angry", 1, 1).samples, pseudo_call(clips, "angry", 1, 1).samples)
    assert not np.array_equal(pseudo_call(clips, "angry", 1, 1).samples, pseudo_call(clips, "angry", 1, 2).samples)
    assert not np.array_equal(pseudo_call(clips, "angry", 1, 1).samples, pseudo_call(clips, "angry", 2, 1).samples)


def test_a_strange_line_colours_a_call_without_moving_it() -> None:
    clips = cast(1)
    plain = pseudo_call(clips, "angry", 1, 1, Line(codecs=("none",), noise_db=(90.0, 90.0)))
    strange = pseudo_call(clips, "angry", 1, 1, Line(codecs=("none",), noise_db=(90.0, 90.0), tilt_db=3.0, bump_db=3.0))
    assert strange.stretches == plain.stretches
    gain_db = 10 * np.log10(mel_power(strange.samples).mean(axis=0) / mel_power(plain.samples).mean(axis=0))
    assert np.std(gain_db[4:-4]) > 1.0


def test_actors_are_never_mixed_and_kinds_without_clips_left_out() -> None:
    clips = (*cast(1), *(clip(1, "neutral", number) for number in range(2)))
    calls = list(stitched(clips, 1, 1))
    assert {call.kind for call in calls if call.speaker == "1001"} == set(KINDS)
    assert {call.kind for call in calls if call.speaker == "1002"} == {"calm"}


def test_a_missing_label_is_named() -> None:
    with pytest.raises(CorpusError, match="actor 1001 has no clip of anger"):
        pseudo_call((clip(0, "neutral"),), "angry", 1, 1)


def test_written_calls_are_read_back(tmp_path: Path) -> None:
    calls = [pseudo_call(cast(1), kind, 1, 1) for kind in ("calm", "growing_anger")]
    assert write_calls(calls, tmp_path / "calls") == {"calm": 1, "growing_anger": 1}
    found = read_folder(tmp_path / "calls")
    assert found.dropped == {}
    for call in calls:
        rows = found.rows[call.name, "customer"]
        assert [(row.label, row.speaker) for row in rows] == [(s.label, "1001") for s in call.stretches]
        assert [row.start_s for row in rows] == pytest.approx([s.start_s for s in call.stretches], abs=0.006)
    with pytest.raises(CorpusError, match="is not empty"):
        write_calls(calls, tmp_path / "calls")


def test_a_stretch_takes_every_clip_before_it_takes_one_again() -> None:
    clips = cast(1, each=CLIPS)
    call = pseudo_call(clips, "angry", 1, 1)
    own = [one for one in clips if one.label == "anger"]
    longest = sum(len(one.pcm) for one in own) / 8_000
    assert call.stretches[0].end_s - call.stretches[0].start_s > longest
