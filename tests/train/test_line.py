"""The whole line on the tiny corpus: fit → evaluate → export → a recording replayed with the new model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.messages import LABELS

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A Python module's command line, its output caught."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def trained(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `work` and `models`, after fit, evaluate and export."""
    folder = tmp_path_factory.mktemp("trained")
    places = ("--work", folder / "work", "--models", folder / "models")
    for arguments in (
        ("fit", "--cremad", tiny_corpus, "--epochs", "2", "--batch", "8", *places),
        ("evaluate", "--cremad", tiny_corpus, *places),
        ("export", "--cremad", tiny_corpus, *places),
    ):
        done = run("train", *arguments)
        assert done.returncode == 0, done.stderr
    return folder


def test_evaluate_writes_every_condition_with_its_interval(trained: Path) -> None:
    report = json.loads((trained / "models" / "evaluation.json").read_text())
    assert report["actors"] == 2
    assert report["clips"] == 12
    for row in report["conditions"].values():
        assert row["uar_low"] <= row["uar"] <= row["uar_high"]
        assert sum(map(sum, row["confusion"])) == row["clips"]


def test_the_pictures_are_drawn(trained: Path) -> None:
    names = {path.name for path in (trained / "models").glob("*.png")}
    assert names == {"training_curve.png", "confusion.png", "coverage.png", "conditions.png"}


def test_a_recording_is_read_with_the_exported_model(trained: Path, tiny_corpus: Path) -> None:
    recording, model = tiny_corpus / "AudioWAV" / "2007_IEO_ANG_XX.wav", trained / "models" / "emotion.onnx"
    done = run("monitor.cli", "replay", recording, "--json", "--set", f"model={model}")
    assert done.returncode == 0, done.stderr
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    scored = [message["scores"] for message in messages if message["type"] == "reading" and message["scores"]]
    assert scored
    assert all(set(scores) == set(LABELS) and sum(scores.values()) == pytest.approx(1.0, abs=1e-3) for scores in scored)


def test_keras_and_onnx_files_measure_the_same(trained: Path, tiny_corpus: Path) -> None:
    model = ("--model", trained / "models" / "emotion.onnx")
    done = run("train", "evaluate", "--cremad", tiny_corpus, *model, "--actors", "2007,2008", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads((trained / "models" / "evaluation.json").read_text())
    assert json.loads(done.stdout)["conditions"]["clean"]["confusion"] == report["conditions"]["clean"]["confusion"]


def test_a_finished_training_is_not_trained_again(trained: Path, tiny_corpus: Path) -> None:
    before = (trained / "work" / "history.json").read_bytes()
    places = ("--work", trained / "work", "--models", trained / "models")
    done = run("train", "fit", "--cremad", tiny_corpus, "--epochs", "2", "--batch", "8", *places)
    assert done.returncode == 0, done.stderr
    assert (trained / "work" / "history.json").read_bytes() == before


def test_a_work_folder_of_another_training_is_refused(trained: Path, tiny_corpus: Path) -> None:
    done = run(
        "train",
        "fit",
        "--cremad",
        tiny_corpus,
        "--epochs",
        "3",
        "--work",
        trained / "work",
        "--models",
        trained / "models",
    )
    assert done.returncode == 2
    assert "holds a training with other settings" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("fit", "--cremad", "no-such-folder"), "expected CREMA-D's AudioWAV folder"),
        (("evaluate", "--cremad", "no-such-folder", "--work", "no-such-work"), "run `python -m train fit` first"),
        (("export", "--work", "no-such-work", "--models", "no-such-models"), "run `python -m train fit` first"),
        (("evaluate", "--cremad", "no-such-folder", "--model", "README.md"), "not an ONNX model"),
        (("fit",), "Missing option '--cremad'"),
        (("fit", "--cremad", ".", "--epochs", "0"), "Invalid value for '--epochs'"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(arguments: tuple[str, ...], expected: str) -> None:
    done = run("train", *arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stderr.startswith("callmood: ")
    assert len(done.stderr.splitlines()) == 1
