"""The benchmark of calm voices: whose turns of a diarization are taken, and how broken ones are refused."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.benchmarks.calm_voices import people, speakers
from train.corpus import CorpusError

RATE = 8_000


def meeting(folder: Path, rows: str, name: str = "one", seconds: int = 40) -> Path:
    """A recording whose samples are as large as the number of the second in which they lie, and its diarization."""
    folder.mkdir(exist_ok=True)
    second = np.repeat(np.arange(1, seconds + 1) / 100, RATE)
    soundfile.write(folder / f"{name}.wav", second, RATE, subtype="FLOAT")
    (folder / f"{name}.rttm").write_text(rows)
    return folder


def test_a_speaker_has_the_turns_in_which_nobody_else_speaks(tmp_path: Path) -> None:
    rows = (
        ";; a comment\nSPKR-INFO one 1 <NA> <NA> <NA> adult_male ann <NA>\n\n"
        "SPEAKER one 1 0.0 5.0 <NA> <NA> ann <NA> <NA>\n"
        "SPEAKER one 1 4.0 3.0 <NA> <NA> bob <NA> <NA>\n"
        "SPEAKER one 1 36.0 99.0 <NA> <NA> ann <NA> <NA>\n"
    )
    (name, samples), *others = people(meeting(tmp_path, rows)).items()
    assert (name, others) == ("ann", [])  # Bob's own turn is too short
    seconds = np.round(samples / samples[0]).astype(int)
    pause = [0] * (RATE // 2)
    expected = [*np.repeat([1, 2, 3, 4], RATE), *pause, *np.repeat([37, 38, 39, 40], RATE), *pause]
    np.testing.assert_array_equal(seconds, expected)


def test_one_name_is_one_speaker_in_all_recordings(tmp_path: Path) -> None:
    for name in ("one", "two"):
        meeting(tmp_path / name, f"SPEAKER {name} 1 0 4 <NA> <NA> ann <NA> <NA>\n", name)
    assert {who: len(own) for who, own in people(tmp_path).items()} == {"ann": 9 * RATE}


def test_a_recording_that_is_missing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    meeting(tmp_path, "SPEAKER other 1 0 9 <NA> <NA> ann <NA> <NA>\n")
    assert people(tmp_path) == {}
    assert capsys.readouterr().err == f"{tmp_path / 'other.wav'} is missing: its turns are left out\n"


def recordings(folder: Path, *lengths_s: float) -> None:
    folder.mkdir()
    for number, length_s in enumerate(lengths_s):
        soundfile.write(folder / f"{number}.wav", np.full(round(length_s * RATE), 0.1), RATE)


def test_a_speaker_is_a_folder_of_a_few_longer_recordings(tmp_path: Path) -> None:
    recordings(tmp_path / "ann", 6, 10)
    recordings(tmp_path / "bob", 6, 8)  # not enough
    recordings(tmp_path / "music", 20, 61)
    recordings(tmp_path / "one", 30)
    recordings(tmp_path / "prompts", *[3] * 60)
    recordings(tmp_path / "words", 20, 2)
    recordings(tmp_path / "meeting", 20, 20)
    (tmp_path / "meeting" / "0.rttm").write_text("")
    assert {who: len(samples) for who, samples in speakers(tmp_path).items()} == {"ann": 17 * RATE}


@pytest.mark.parametrize(
    "row",
    [
        "SPEAKER one 1 0.0",
        "SPEAKER one 1 zero 5 <NA> <NA> ann",
        "SPEAKER one 1 -2 5 <NA> <NA> ann",
        "SPEAKER one 1 0 inf <NA> <NA> ann",
        "SPEAKER one 1 nan 5 <NA> <NA> ann",
    ],
)
def test_a_broken_row_is_told_with_its_line(tmp_path: Path, row: str) -> None:
    with pytest.raises(CorpusError) as caught:
        people(meeting(tmp_path, f"\n{row}\n"))
    assert str(caught.value) == (
        f"{tmp_path / 'one.rttm'}:2: got '{row}', expected SPEAKER, recording, channel, start and length in seconds, two columns "
        "that are not read, and the speaker"
    )


def test_a_diarization_in_another_encoding_is_refused(tmp_path: Path) -> None:
    meeting(tmp_path, "")
    (tmp_path / "one.rttm").write_bytes(b"SPEAKER one 1 0 5 <NA> <NA> M\xe9o\n")
    with pytest.raises(CorpusError, match=r"one\.rttm cannot be read \(.*0xe9.*\), expected an RTTM file in UTF-8"):
        people(tmp_path)
