"""The measuring commands, as their users call them: one JSON object, one line for what is wrong, no TensorFlow."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
from typer.testing import CliRunner

from monitor.errors import CallmoodError
from monitor.messages import LABELS
from tests.tiny_model import MEANING, write_tiny_model
from tests.train.voices import voice, write_corpus
from train.__main__ import app
from train.evaluate import MEASURES

FACTS = {"data": "none", "fitted": ["1001"], "tuned": ["1002"], "validated": ["1003", "1004"]}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus of four actors and a model file that says which it learnt from."""
    folder = tmp_path_factory.mktemp("place")
    write_corpus(folder / "cremad", 4)
    (folder / "models").mkdir()
    write_tiny_model(folder / "models" / "emotion.onnx", training=FACTS)
    return folder


def run(*arguments: str | Path) -> str:
    """What a command prints on stdout. Raises what it raises."""
    done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False, standalone_mode=False)
    if done.exception:
        raise done.exception
    return done.stdout


def evaluate(place: Path, *arguments: str | Path) -> dict[str, Any]:
    model = place / "models" / "emotion.onnx"
    printed = run("evaluate", "--cremad", place / "cremad", "--model", model, *arguments, "--json")
    found: dict[str, Any] = json.loads(printed)
    return found


def refusal(place: Path, *arguments: str) -> str:
    """What the command line says of arguments that it does not take."""
    try:
        evaluate(place, *arguments)
    except CallmoodError as error:
        return str(error)
    except Exception as error:
        return str(error.format_message())  # type: ignore[attr-defined]
    pytest.fail("nothing was refused")


def test_json_has_exactly_the_measures_and_nothing_is_written(place: Path) -> None:
    before = {path: path.read_bytes() for path in (place / "models").iterdir()}
    found = evaluate(place, "--actors", "1003,1004")
    assert tuple(found) == MEASURES
    assert (found["clips"], found["actors"], found["changed"], found["dropped"]) == (24, 2, 0.0, {})
    assert set(found["recall"]) == set(LABELS)
    assert {path: path.read_bytes() for path in (place / "models").iterdir()} == before


def test_by_default_the_validated_actors_are_measured(place: Path) -> None:
    assert evaluate(place) == evaluate(place, "--actors", "1003,1004")


@pytest.mark.parametrize(
    "options",
    [("--codec", "mulaw"), ("--gate",), ("--floor", "5"), ("--snr", "0"), ("--loss", "50"), ("--gain", "-12")],
    ids=lambda options: options[0],
)
def test_an_alteration_is_measured_against_the_unaltered_clips(place: Path, options: tuple[str, ...]) -> None:
    found = evaluate(place, "--actors", "1003", *options)
    assert found["clips"] == 12
    assert 0.0 <= found["changed"] <= 1.0


def test_a_recorded_noise_takes_the_place_of_pink_noise(place: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "hum.wav", voice(9, "sad", seconds=1.0), 8_000)
    assert evaluate(place, "--actors", "1003", "--snr", "-20", "--noise", tmp_path / "hum.wav")["clips"] == 12


def test_predictions_of_a_fold_are_written_and_summed_up(place: Path, tmp_path: Path) -> None:
    found = evaluate(place, "--actors", "1003,1004", "--predictions", tmp_path / "try-fold1.csv")
    (row,) = json.loads(run("folds", tmp_path / "try-fold1.csv", "--json"))
    assert (row["try"], row["clips"], row["uar"]) == ("try", 24, found["uar"])


def test_stitched_calls_are_measured(place: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    printed = run("stitch", "--cremad", place / "cremad", "--actors", "1003", "--out", calls, "--each", "1")
    assert "8 calls" in printed
    found = json.loads(run("calls", calls, "--model", place / "models" / "emotion.onnx", "--json"))
    assert (found["calls"], found["speakers"], found["dropped"]) == (8, 1, {})
    assert found["mood"]["stretches"] == 11
    assert 0.0 <= found["labelled"] <= 1.0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--actors", "1003,4711"), "no clip of actor 4711"),
        (("--actors", "none.txt"), "expected ids with commas between, or a file"),
        (("--floor", "20", "--snr", "20"), "give one of them"),
        (("--noise", "hum.wav"), "--noise needs --floor or --snr"),
        (("--snr", "10", "--noise", "none.wav"), "noise none.wav cannot be read"),
        (("--codec", "g729"), "is not one of"),
        (("--loss", "101"), "'--loss'"),
        (("--data", "LABELS.csv"), "either --cremad DIR or --data"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(place: Path, arguments: tuple[str, ...], expected: str) -> None:
    text = refusal(place, *arguments)
    assert expected in text
    assert "\n" not in text


def test_a_model_that_names_no_actors_asks_for_them(place: Path, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    assert MEANING["training"] == {"data": "none"}
    with pytest.raises(CallmoodError, match="does not say which actors it was validated on"):
        run("evaluate", "--cremad", place / "cremad", "--model", model, "--json")


def test_measuring_loads_no_tensorflow() -> None:
    code = "import train.measuring, train.calibrate, train.__main__, sys; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
