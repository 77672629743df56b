"""The whole line on the tiny corpus: fit → export → evaluate → a recording replayed with the new model; then trained further."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.messages import LABELS
from monitor.model import Calibration, EmotionModel, Moods, Thresholds
from train.calibrate import write_meaning
from train.corpus import parse_name
from train.live import with_meaning

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A Python module's command line, its output caught."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def trained(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `work` and `models`, after fit, export and evaluate."""
    folder = tmp_path_factory.mktemp("trained")
    places = ("--work", folder / "work", "--models", folder / "models")
    for arguments in (
        ("fit", "--cremad", tiny_corpus, "--epochs", "2", "--batch", "8", *places),
        ("export", "--cremad", tiny_corpus, *places),
        ("evaluate", "--cremad", tiny_corpus, "--model", folder / "models" / "emotion.onnx", "--each", "1"),
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
        assert row["changed_low"] <= row["changed"] <= row["changed_high"]
        assert row["gain_60"] == pytest.approx(row["accuracy_60"] - row["accuracy"], abs=2e-4)
        assert row["gain_60_low"] <= row["gain_60_high"]
        assert sum(map(sum, row["confusion"])) == row["clips"]
    assert sum(row["clips"] for row in report["reliability"]) == report["clips"]
    assert set(report["sexes_mulaw"]) == {"Female", "Male"}
    assert set(report["ages_mulaw"]) == {"30 to 44"}
    assert report["pseudo_calls"]["speakers"] == 2


def test_the_pictures_are_drawn(trained: Path) -> None:
    names = {path.name for path in (trained / "models").glob("*.png")}
    assert names == {
        *("training_curve.png", "confusion.png", "coverage.png", "conditions.png", "reliability.png"),
    }


def test_a_recording_is_read_with_the_exported_model(trained: Path, tiny_corpus: Path) -> None:
    recording, model = tiny_corpus / "AudioWAV" / "2007_IEO_ANG_XX.wav", trained / "models" / "emotion.onnx"
    done = run("monitor.cli", "replay", recording, "--json", "--set", f"model={model}")
    assert done.returncode == 0, done.stderr
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    scored = [message["scores"] for message in messages if message["type"] == "reading" and message["scores"]]
    assert scored
    assert all(set(scores) == set(LABELS) and sum(scores.values()) == pytest.approx(1.0, abs=1e-3) for scores in scored)


def test_the_model_file_carries_the_figures_and_a_calibration(trained: Path) -> None:
    meaning = EmotionModel(trained / "models" / "emotion.onnx").meaning
    report = json.loads((trained / "models" / "evaluation.json").read_text())
    assert meaning.scores["uar"] == report["uar"]
    assert meaning.scores["uar_mulaw"] == report["conditions"]["mulaw"]["uar"]
    assert meaning.thresholds.uncertain > 0.0
    assert meaning.moods != Moods()


def write_recordings(folder: Path, corpus: Path) -> Path:
    """LABELS.csv of the tiny corpus's clips, as somebody's own recordings, with one wrong row."""
    rows = ["path,speaker,label", "none.wav,nobody,anger"]
    for path in sorted((corpus / "AudioWAV").iterdir()):
        actor, _, label, _ = parse_name(path.stem)
        rows.append(f"{path},caller{actor},{label}")
    (folder / "LABELS.csv").write_text("\n".join(rows) + "\n")
    return folder / "LABELS.csv"


def test_a_model_is_trained_further_on_ones_own_recordings(trained: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    data = ("--data", write_recordings(tmp_path, tiny_corpus))
    places = ("--work", tmp_path / "work", "--models", tmp_path / "models")
    start = ("--from", trained / "models" / "checkpoint", "--epochs", "1", "--batch", "8")
    done = run("train", "fit", *data, *start, *places)
    assert done.returncode == 0, done.stderr
    assert "LABELS.csv:2: " in done.stderr
    done = run("train", "export", *data, *places)
    assert done.returncode == 0, done.stderr
    before = EmotionModel(trained / "models" / "emotion.onnx").meaning
    after = EmotionModel(tmp_path / "models" / "emotion.onnx").meaning
    assert after.features == before.features
    assert after.name == "callmood-own"
    assert "started from a network trained on CREMA-D" in after.training["data"]
    assert "CREMA-D" in after.licence
    speakers = after.training["fitted"] + after.training["tuned"] + after.training["validated"]
    assert sorted(speakers) == [f"caller{2001 + number}" for number in range(8)]


def test_a_pupil_learns_what_its_teacher_says_and_takes_none_that_knows_its_examiners(
    trained: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    places = ("--work", tmp_path / "work", "--models", tmp_path / "models")
    file = trained / "models" / "emotion.onnx"
    taught = ("--teacher", trained / "work", "--teacher", file, "--epochs", "1", "--batch", "8", *places)
    done = run("train", "fit", "--cremad", tiny_corpus, *taught)
    assert done.returncode == 0, done.stderr
    done = run("train", "export", "--cremad", tiny_corpus, *places)
    assert done.returncode == 0, done.stderr
    assert EmotionModel(tmp_path / "models" / "emotion.onnx").meaning.training["teachers"] == 2
    done = run("train", "fit", "--cremad", tiny_corpus, "--fold", "1", *taught)
    assert done.returncode == 2
    assert "who are kept from fitting here: expected one of the same split" in done.stderr.splitlines()[-1]


def test_tuning_actors_are_fitted_in_the_end_and_another_models_calibration_is_taken(
    trained: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    places = ("--work", tmp_path / "work", "--models", tmp_path / "models")
    file = trained / "models" / "emotion.onnx"
    more = ("--teacher", file, "--with-tuning", "--epochs", "1", "--batch", "8", *places)
    done = run("train", "fit", "--cremad", tiny_corpus, *more)
    assert done.returncode == 0, done.stderr
    done = run("train", "export", "--cremad", tiny_corpus, *places)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"callmood: {tmp_path / 'work'} has the tuning actors fitted, expected another model's calibration: name one of the same "
        "recipe that was trained without them by --calibrated-like"
    )
    done = run("train", "export", "--cremad", tiny_corpus, "--calibrated-like", file, *places)
    assert done.returncode == 0, done.stderr
    before, after = EmotionModel(file).meaning, EmotionModel(tmp_path / "models" / "emotion.onnx").meaning
    assert after.training["tuned"] == []
    assert after.training["calibrated_like"] == {
        "networks": hashlib.sha256(file.read_bytes()).hexdigest(),
        "tuned": before.training["tuned"],
    }
    assert after.training["fitted"] == sorted(before.training["fitted"] + before.training["tuned"])
    for name in ("calibration", "baseline", "thresholds", "moods", "features"):
        assert getattr(after, name) == getattr(before, name)
    whole = tmp_path / "models" / "emotion.onnx"
    write_meaning(
        with_meaning(EmotionModel(whole), calibration=Calibration(2.0), thresholds=Thresholds(0.9, 0.9)), whole
    )
    done = run("train", "calibrate", "--model", whole, "--calibrated-like", file)
    assert done.returncode == 0, done.stderr
    assert EmotionModel(whole).meaning == after
    done = run("train", "calibrate", "--model", file, "--calibrated-like", file)
    assert done.returncode == 2
    assert f"{file} is the model itself, expected another file: name the one to take over from" in done.stderr
    tuned, fitted = before.training["tuned"][0], after.training["fitted"][0]
    for arguments, text in (
        (
            ("calibrate", "--actors", fitted, "--model", whole),
            f"{whole} was fitted on {fitted}, expected actors that it never heard",
        ),
        (
            ("fit", "--from", tmp_path / "models" / "checkpoint", "--work", tmp_path / "again"),
            f"was fitted on {tuned}, who are kept from fitting here: expected one of the same split",
        ),
        (
            ("export", "--work", tmp_path / "work", "--calibrated-like", whole, "--models", tmp_path / "again"),
            f"{whole} has its calibration from another file, expected that one: name it",
        ),
        (
            ("calibrate", "--actors", tuned, "--model", whole, "--through", file),
            "--through says whom to calibrate on: leave --actors out",
        ),
        (
            ("calibrate", "--model", file, "--calibrated-like", file),
            "--calibrated-like takes another file's calibration over: leave --cremad, --data, --actors and --through out",
        ),
    ):
        done = run("train", *arguments, "--cremad", tiny_corpus)
        assert done.returncode == 2
        assert text in done.stderr.splitlines()[-1]


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
        (("export", "--work", "no-such-work", "--models", "no-such-models"), "run `python -m train fit` first"),
        (("evaluate", "--cremad", "no-such-folder", "--model", "README.md"), "not an ONNX model"),
        (("calibrate", "--cremad", "no-such-folder", "--model", "no-such-model"), "no such model file"),
        (("fit",), "expected either --cremad DIR or --data LABELS.csv"),
        (("fit", "--data", "README.md"), "README.md lacks the column path, speaker, label"),
        (("calls", "examples"), "no examples/labels.csv"),
        (("folds", "README.md"), "README.md holds no predictions"),
        (("stitch", "--cremad", ".", "--out", "no-such-folder"), "Missing option '--actors'"),
        (("fit", "--cremad", ".", "--epochs", "0"), "Invalid value for '--epochs'"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(arguments: tuple[str, ...], expected: str) -> None:
    done = run("train", *arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stderr.startswith("callmood: ")
    assert len(done.stderr.splitlines()) == 1
