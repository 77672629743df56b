"""The model card says what models/evaluation.json says, and models/emotion.onnx what both say."""

import json
from pathlib import Path

import pytest

from monitor.model import EmotionModel
from train.card import BEGIN, END, card_figures, with_figures, write_card
from train.corpus import CorpusError
from train.measuring import kept_ablations

MODELS = Path(__file__).parents[2] / "models"
REPORT = json.loads((MODELS / "evaluation.json").read_text(encoding="utf-8"))


def test_the_cards_figures_are_those_of_the_evaluation() -> None:
    card = (MODELS / "MODEL_CARD.md").read_text(encoding="utf-8")
    figures = card.partition(BEGIN)[2].partition(END)[0].strip()
    assert figures == card_figures(REPORT)


def test_the_model_files_figures_are_those_of_the_evaluation() -> None:
    meaning = EmotionModel(MODELS / "emotion.onnx").meaning
    for name in ("uar", "uar_low", "uar_high", "accuracy", "accuracy_60", "ece"):
        assert meaning.scores[name] == REPORT[name]
    assert (meaning.parameters, meaning.mflop) == (REPORT["parameters"], REPORT["mflop"])


def test_the_evaluations_ablations_are_those_whose_predictions_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(MODELS.parent)
    if found := REPORT.get("ablations"):
        assert found == json.loads(json.dumps(kept_ablations(EmotionModel(MODELS / "emotion.onnx"))))


def test_the_card_names_data_licence_limits_and_how_to_retrain() -> None:
    card = (MODELS / "MODEL_CARD.md").read_text(encoding="utf-8")
    for words in ("Open Database License", "CREMA-D", "Cao", "Never tested on real anger", "fit --data", "leaky"):
        assert words in card


def test_figures_are_renewed_between_the_marks_only(tmp_path: Path) -> None:
    path = tmp_path / "MODEL_CARD.md"
    write_card(REPORT, path)
    assert not path.exists()
    path.write_text(f"before\n{BEGIN}\nfigures of before\n{END}\nafter\n")
    write_card(REPORT, path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "figures of before" not in text
    with pytest.raises(CorpusError, match="the model card lacks the lines"):
        with_figures("no marks", REPORT)
