"""What the ablations found is read from their files: differences over the same actors, and what leaks is no difference."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from monitor.messages import LABELS
from monitor.model import EmotionModel
from tests.tiny_model import write_tiny_model
from tests.train.voices import cast
from train import folds
from train.__main__ import app
from train.ablations import TRAINED, predictions_path, read_ablations, start_folder
from train.card import card_figures
from train.corpus import Clip, CorpusError
from train.folds import kept_folds, write_predictions
from train.measuring import kept_ablations
from train.variants import DEFAULT, JUDGED, VARIANTS, named

REPORT = json.loads((Path(__file__).parents[2] / "models" / "evaluation.json").read_text(encoding="utf-8"))
SCHEDULE = {"schedule": {"epochs": 2}, "split": {"source": "test", "fitted": [], "validation": []}}


def judged(folder: Path, name: str, clips: tuple[Clip, ...], wrong: tuple[str, ...] = ()) -> None:
    """Predictions of a variant that is right about everyone but the actors in `wrong`, under every condition."""
    places = [LABELS.index(clip.label) for clip in clips]
    told = [(place + 1) % 6 if clip.actor in wrong else place for place, clip in zip(places, clips, strict=True)]
    for condition in JUDGED:
        write_predictions(predictions_path(folder, VARIANTS[name], condition), clips, np.eye(6)[told])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The default wrong about one of four actors, one variant about two, a leaky one about nobody, on other clips."""
    start_folder(tmp_path, SCHEDULE)
    judged(tmp_path, DEFAULT, cast(4, each=1), ("1001",))
    judged(tmp_path, "without_noise", cast(4, each=1), ("1001", "1002"))
    judged(tmp_path, "random_split_leaky", cast(5, each=1))
    return tmp_path


def test_a_variant_differs_from_the_default_over_the_same_actors(folder: Path) -> None:
    found = read_ablations(folder)
    assert found is not None
    assert list(found["rows"]) == [DEFAULT, "without_noise", "random_split_leaky"]
    row = found["rows"]["without_noise"]
    assert (row["clips"], row["actors"]) == (24, 4)
    for condition in JUDGED:
        assert (row[condition]["uar"], row[condition]["difference"]) == (0.5, -0.25)
        # Drawn apart, the two would differ by up to 1 either way; drawn together the variant is never the better one.
        assert row[condition]["difference_high"] == 0.0
        assert row[condition]["difference_low"] == -0.75


def test_the_default_and_what_leaks_have_no_difference(folder: Path) -> None:
    found = read_ablations(folder)
    assert found is not None
    for name in (DEFAULT, "random_split_leaky"):
        assert found["rows"][name]["clean"]["difference"] is None
    assert (found["rows"]["random_split_leaky"]["clips"], found["rows"]["random_split_leaky"]["leaky"]) == (30, True)
    assert all("leaky, not comparable" in variant.words for variant in VARIANTS.values() if variant.leaky)
    assert all(name.endswith("_leaky") == variant.leaky for name, variant in VARIANTS.items())


def test_a_variant_that_judged_other_clips_is_refused(folder: Path) -> None:
    judged(folder, "without_shift", cast(3, each=1))
    with pytest.raises(CorpusError, match=r"ablation-without_shift-fold1\.csv and .*default.* hold other clips"):
        read_ablations(folder)


def test_nothing_is_read_without_the_default(tmp_path: Path) -> None:
    assert read_ablations(tmp_path) is None
    judged(tmp_path, "without_noise", cast(2, each=1))
    assert read_ablations(tmp_path) is None


def test_variants_of_another_schedule_do_not_join(folder: Path) -> None:
    start_folder(folder, SCHEDULE)
    with pytest.raises(CorpusError, match="holds ablations that were trained otherwise"):
        start_folder(folder, SCHEDULE | {"schedule": {"epochs": 3}})
    assert json.loads((folder / TRAINED).read_text())["schedule"] == {"epochs": 2}


def test_the_folds_leave_the_ablations_alone(folder: Path) -> None:
    write_predictions(folder / "h-fold1.csv", cast(2, each=1), np.eye(6)[[0] * 12])
    assert [path.name for path in kept_folds(folder)] == ["h-fold1.csv"]


def test_the_command_prints_what_was_trained(folder: Path) -> None:
    printed = CliRunner().invoke(app, ["ablations", "--out", str(folder)]).stdout
    assert "2 epochs each; 24 clips of 4 actors" in printed
    assert "-0.250 (-0.750..+0.000)" in printed
    assert "leaky, not comparable" in printed
    found = json.loads(CliRunner().invoke(app, ["ablations", "--out", str(folder), "--json"]).stdout)
    assert found == read_ablations(folder)


@pytest.mark.parametrize("options", [("--only", "louder"), ("--only", ","), ()])
def test_what_cannot_be_trained_is_said_in_one_line(tmp_path: Path, options: tuple[str, ...]) -> None:
    arguments = ["ablations", "--out", str(tmp_path), *(("--cremad", "none", *options) if options else ())]
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, CorpusError)
    assert "\n" not in str(error)
    assert "expected" in str(error)


def test_variants_are_named_in_the_order_of_the_tables() -> None:
    assert [variant.name for variant in named("without_speed, default")] == ["default", "without_speed"]
    assert [variant.name for variant in named(None)] == list(VARIANTS)
    assert {variant.windows for variant in named("default,without_sex,separate_sexes,default_again")} == {DEFAULT}


def test_the_card_has_a_row_for_each_with_its_difference(folder: Path) -> None:
    found = read_ablations(folder)
    assert found is not None
    text = card_figures(REPORT | {"ablations": found | {"split": "fold 1", "network": "a small network"}})
    assert "short trainings of 2 epochs" in text
    assert "The network (a small network) alone" in text
    assert "| without noise in training | 0.500 | 0.000 to 1.000 | -0.250 (-0.750 to +0.000) | 0.500 | " in text
    assert "| as long, clips held out at random: leaky, not comparable | 1.000 | 1.000 to 1.000 |  | 1.000 |  |" in text
    assert text.startswith(card_figures(REPORT | {"ablations": None}))


def test_an_evaluation_takes_the_ablations_of_its_own_models_actors_only(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_folder(folder, SCHEDULE)
    trained = SCHEDULE | {"split": {"source": "test", "fitted": ["1005"], "validation": ["1001"]}}
    (folder / TRAINED).write_text(json.dumps(trained))
    monkeypatch.setattr(folds, "EXPERIMENTS", folder)
    told = {}
    for actor in ("1005", "4711"):
        facts = {"data": "none", "fitted": [actor], "tuned": ["1003"], "validated": ["1001", "1002"]}
        model = EmotionModel(write_tiny_model(tmp_path / f"{actor}.onnx", training=facts))
        told[actor] = kept_ablations(model)
    assert told["4711"] is None
    assert told["1005"] is not None
    assert told["1005"]["split"] == "test"
    assert list(told["1005"]["rows"]) == [DEFAULT, "without_noise", "random_split_leaky"]
