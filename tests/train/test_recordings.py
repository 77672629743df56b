"""One's own labelled recordings: rows become clips, wrong rows are named by line with the reason, speakers stay whole."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.train.voices import voice
from train.call_folder import read_folder
from train.corpus import CorpusError
from train.labelled import CALLS, RECORDINGS, read_rows
from train.recordings import load_recordings, speaker_split

HEADER = "path,speaker,label,start,end,party\n"


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    """LABELS.csv beside a mono recording of 12 s at 8 kHz and a stereo one of 6 s at 16 kHz."""
    soundfile.write(folder / "mono.wav", voice(0, "anger", seconds=12.0), 8_000)
    agent, customer = voice(1, "sad", seconds=12.0), voice(2, "happy", seconds=12.0)
    soundfile.write(folder / "stereo.wav", np.stack([agent, customer], axis=1), 16_000)
    path = folder / "LABELS.csv"
    path.write_text(header + "\n".join(rows) + "\n")
    return path


def test_rows_become_clips_of_at_most_five_seconds_at_8_khz(tmp_path: Path) -> None:
    corpus = load_recordings(write(tmp_path, "mono.wav,ann,Anger,,,", "stereo.wav,bob,happy,1.0,5.5,customer"))
    assert [(clip.actor, clip.label, len(clip.pcm)) for clip in corpus.clips] == [
        ("ann", "anger", 32_000),
        ("ann", "anger", 32_000),
        ("ann", "anger", 32_000),
        ("bob", "happy", 36_000),
    ]
    assert corpus.dropped == {}
    expected = voice(0, "anger", seconds=12.0)[:32_000]
    assert corpus.clips[0].samples == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("none.wav,ann,anger,,,", "no such file"),
        ("mono.wav,ann,bored,,,", "label is 'bored', expected one of anger, disgust"),
        ("mono.wav,,anger,,,", "speaker is empty"),
        ("mono.wav,ann,anger,3,2,", "end is 2, expected more than start 3"),
        ("mono.wav,ann,anger,-1,2,", "start is '-1', expected seconds"),
        ("mono.wav,ann,anger,soon,2,", "start is 'soon', expected seconds"),
        ("mono.wav,ann,anger,nan,2,", "start is 'nan', expected seconds"),
        ("mono.wav,ann,anger,1.0,1.4,", "has 0.40 s of audio, expected at least 0.5 s"),
        ("mono.wav,ann,anger,10.0,99,", "reaches past the recording's end at 12.0 s"),
        ("mono.wav,ann,anger,5,6,", "overlaps line 2"),
        ("stereo.wav,ann,anger,,,mixed", "party is mixed, expected one of agent, customer"),
        ("stereo.wav,ann,anger,,,boss", "party is 'boss', expected one of"),
        ("mono.wav,ann,anger,1,2,customer,more", "has more fields than columns"),
        ("LABELS.csv,ann,anger,,,", "cannot be read"),
    ],
)
def test_a_wrong_row_is_named_by_line_and_left_out(tmp_path: Path, row: str, reason: str) -> None:
    path = write(tmp_path, "mono.wav,ann,anger,4,9,", row)
    corpus = load_recordings(path)
    assert list(corpus.dropped) == [f"{path}:3"]
    assert reason in corpus.dropped[f"{path}:3"]
    assert len(corpus.clips) == 1


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("path,label\n", "lacks the column speaker"),
        ("path,speaker,label,mood\n", "has the unknown column 'mood'"),
        ("", "lacks the column path, speaker, label"),
    ],
)
def test_a_file_that_is_no_such_list_is_refused(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        load_recordings(write(tmp_path, header=header))


def test_without_a_usable_row_the_first_fault_is_told(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no usable row in .*1 wrong: .*LABELS\.csv:2: label is 'bored'"):
        load_recordings(write(tmp_path, "mono.wav,ann,bored,,,"))
    with pytest.raises(CorpusError, match="cannot be read"):
        load_recordings(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"path,\xff\xfe")
    with pytest.raises(CorpusError, match="expected a CSV file in UTF-8"):
        load_recordings(tmp_path / "bytes.csv")


def test_two_parties_of_one_recording_do_not_overlap(tmp_path: Path) -> None:
    path = write(tmp_path, "stereo.wav,ann,sad,0,3,agent", "stereo.wav,bob,happy,0,3,customer")
    assert {(clip.actor, clip.label) for clip in load_recordings(path).clips} == {("ann", "sad"), ("bob", "happy")}


def test_speakers_stay_whole_and_three_are_needed(tmp_path: Path) -> None:
    rows = [f"mono.wav,speaker{n},anger,{n},{n + 1}," for n in range(4)]
    split = speaker_split(load_recordings(write(tmp_path, *rows)), 1)
    assert sorted(split.fitted + split.tuning + split.validation) == [f"speaker{n}" for n in range(4)]
    with pytest.raises(CorpusError, match=r"2 speakers .* expected at least 3"):
        speaker_split(load_recordings(write(tmp_path, *rows[:2])), 1)


def test_a_spreadsheets_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = write(tmp_path, "mono.wav,ann,anger,,,", header="\ufeff" + HEADER)
    assert read_rows(path, RECORDINGS, {})[0].name == "mono.wav"


def test_a_folder_of_calls_names_rows_that_do_not_count(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no .*labels\.csv, expected recordings"):
        read_folder(tmp_path)
    write(tmp_path)
    (tmp_path / "labels.csv").write_text(
        "call,start_s,end_s,label,party\nmono,1,5,anger,\nnone,1,5,anger,\nstereo,1,5,sad,agent\nstereo,0,,sad,\n"
    )
    found = read_folder(tmp_path)
    assert set(found.rows) == {("mono", "customer")}
    assert "no recording none" in found.dropped["labels.csv:3"]
    assert "--set score_agent=true" in found.dropped["labels.csv:4"]
    assert found.dropped["labels.csv:5"] == "end_s is empty"
    assert set(read_folder(tmp_path, ("customer", "agent")).rows) == {("mono", "customer"), ("stereo", "agent")}


def test_columns_of_the_two_kinds_of_file_are_as_documented() -> None:
    assert (*RECORDINGS.required, *RECORDINGS.optional) == ("path", "speaker", "label", "start", "end", "party")
    assert CALLS.required == ("call", "start_s", "end_s", "label")
