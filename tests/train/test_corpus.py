"""Faults of a corpus are found, named and dropped; a split that leaks is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from train.corpus import Corpus, CorpusError, load_corpus, parse_name
from train.split import Split, read_split, tfds_parts

RATE = 8_000
VALIDATION = ["1015", "1020", "1021", "1030", "1050", "1070", "1079", "1089", "1090"]


def write(root: Path, name: str, samples: np.ndarray, rate: int = RATE) -> None:
    """One clip of the corpus under `root`."""
    (root / "AudioWAV").mkdir(exist_ok=True)
    soundfile.write(root / "AudioWAV" / name, samples, rate)


def voice(seed: int, seconds: float = 1.0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))


def test_silent_short_unreadable_and_misnamed_clips_are_dropped_by_name(tmp_path: Path) -> None:
    write(tmp_path, "1001_IEO_ANG_HI.wav", voice(1))
    write(tmp_path, "1001_IEO_SAD_HI.wav", np.zeros(RATE))
    write(tmp_path, "1001_IEO_HAP_HI.wav", voice(2, 0.3))
    write(tmp_path, "1001_IEO_BORED_HI.wav", voice(3))
    (tmp_path / "AudioWAV" / "1001_IEO_NEU_XX.wav").write_text("no audio")
    corpus = load_corpus(tmp_path)
    assert [clip.name for clip in corpus.clips] == ["1001_IEO_ANG_HI"]
    assert corpus.dropped["1001_IEO_SAD_HI.wav"] == "silent"
    assert corpus.dropped["1001_IEO_HAP_HI.wav"] == "shorter than 0.5 s"
    assert "is not ACTOR_SENTENCE_EMOTION_LEVEL" in corpus.dropped["1001_IEO_BORED_HI.wav"]
    assert "no readable audio" in corpus.dropped["1001_IEO_NEU_XX.wav"]


def test_equal_audio_under_two_labels_drops_both_and_under_one_label_keeps_the_first(tmp_path: Path) -> None:
    write(tmp_path, "1001_IEO_ANG_XX.wav", voice(1))
    write(tmp_path, "1001_IEO_FEA_XX.wav", voice(1))
    write(tmp_path, "1002_IEO_SAD_XX.wav", voice(2))
    write(tmp_path, "1002_IEO_SAD_HI.wav", voice(2))
    corpus = load_corpus(tmp_path)
    assert [clip.name for clip in corpus.clips] == ["1002_IEO_SAD_HI"]
    assert corpus.dropped["1001_IEO_ANG_XX"] == "same audio as 1001_IEO_FEA_XX, under another label"
    assert corpus.dropped["1001_IEO_FEA_XX"] == "same audio as 1001_IEO_ANG_XX, under another label"
    assert corpus.dropped["1002_IEO_SAD_XX"] == "same audio as 1002_IEO_SAD_HI"


def test_wider_recordings_come_at_8_khz(tmp_path: Path) -> None:
    write(tmp_path, "1001_IEO_ANG_XX.flac", voice(1, 2.0), 16_000)
    assert len(load_corpus(tmp_path).clips[0].pcm) == pytest.approx(RATE, abs=2)


def test_demographics_and_votes_belong_to_their_clips(tmp_path: Path) -> None:
    write(tmp_path, "1001_IEO_ANG_XX.wav", voice(1))
    (tmp_path / "VideoDemographics.csv").write_text("ActorID,Age,Sex\n1001,51,Male\n")
    (tmp_path / "voice_votes.csv").write_text(
        "clip,anger,disgust,fear,happy,neutral,sad\n1001_IEO_ANG_XX,6,2,0,0,1,0\n"
    )
    clip = load_corpus(tmp_path).clips[0]
    assert (clip.sex, clip.age, clip.votes) == ("Male", 51, (6, 2, 0, 0, 1, 0))


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no \.wav or \.flac in .*expected CREMA-D's AudioWAV"):
        load_corpus(tmp_path)


@pytest.mark.parametrize("stem", ["1001_IEO_ANG", "1001_IEO_ANG_ZZ", "1001_IEO_XYZ_HI", "readme"])
def test_other_names_are_refused(stem: str) -> None:
    with pytest.raises(CorpusError, match="is not ACTOR_SENTENCE_EMOTION_LEVEL"):
        parse_name(stem)


def corpus_of(root: Path, actors: int) -> Corpus:
    for actor in range(actors):
        write(root, f"{1001 + actor}_IEO_ANG_XX.wav", voice(actor))
    return load_corpus(root)


def test_an_actor_in_two_parts_is_refused(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, 4)
    (tmp_path / "split.json").write_text(
        json.dumps({"train": ["1001", "1002", "1003"], "validation": ["1003", "1004"]})
    )
    with pytest.raises(CorpusError, match="actor 1003 in train and validation"):
        read_split(tmp_path, corpus, 1)
    with pytest.raises(CorpusError, match="actor 1003 in two parts"):
        Split(("1001", "1003"), ("1003",), ("1004",), "test")


def test_too_few_actors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="expected at least one in each part"):
        read_split(tmp_path, corpus_of(tmp_path, 2), 1)


def test_a_broken_split_file_says_what_it_should_hold(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, 2)
    (tmp_path / "split.json").write_text('{"train": []}')
    with pytest.raises(CorpusError, match=r"expected .*validation"):
        read_split(tmp_path, corpus, 1)


def test_without_a_file_the_published_rule_gives_63_and_9_of_91_actors() -> None:
    actors = tuple(str(1001 + number) for number in range(91))
    train, validation = tfds_parts(actors)
    assert (len(train), sorted(validation)) == (63, VALIDATION)
    assert not set(train) & set(validation)


def test_tuning_actors_are_seeded_and_apart(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, 20)
    first, second = read_split(tmp_path, corpus, 1), read_split(tmp_path, corpus, 1)
    assert first == second
    assert not set(first.tuning) & set(first.fitted)
