import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from monitor.errors import ModelError
from monitor.messages import LABELS
from monitor.model import EmotionModel, Stream, default_path
from monitor.windows import PartyWindows, Window
from tests.test_windows import block, speech_like
from tests.tiny_model import MEANING, write_tiny_model


def party(seed: int, seconds: float = 8.0, hop_s: float = 0.5) -> list[tuple[Stream, Window]]:
    """A party's windows, as they are scored."""
    stream, found = PartyWindows(3.0, hop_s, with_features=True), Stream()
    items = [*stream.push(block(speech_like(seconds, seed), 0)), *stream.finish()]
    return [(found, window) for window in items if isinstance(window, Window)]


@pytest.fixture
def model(tmp_path: Path) -> EmotionModel:
    return EmotionModel(write_tiny_model(tmp_path / "m.onnx"))


def test_scores_are_log_probabilities_however_many_windows_come_at_once(model: EmotionModel) -> None:
    together = model.score(
        [one for windows in zip(*(party(seed) for seed in range(7)), strict=True) for one in windows]
    )
    assert together.shape == (77, 6)
    np.testing.assert_allclose(np.exp(together).sum(axis=1), 1.0, atol=1e-5)
    one_by_one = [np.concatenate([model.score([window]) for window in party(seed)]) for seed in range(7)]
    np.testing.assert_allclose(together.reshape(11, 7, 6).swapaxes(0, 1), one_by_one, atol=1e-5)
    assert model.score([]).shape == (0, 6)


@pytest.mark.parametrize("hop_s", [0.25, 0.5, 1.0])
def test_what_goes_through_the_network_together_changes_the_last_bits_only(hop_s: float) -> None:
    model = EmotionModel(default_path())

    def parties() -> list[list[tuple[Stream, Window]]]:
        return [party(seed, 8.37, hop_s) for seed in range(3)]

    alone = np.concatenate([model.score([window]) for windows in parties() for window in windows])
    by_party = model.score([window for windows in parties() for window in windows])
    in_turns = model.score([window for step in zip(*parties(), strict=True) for window in step])
    np.testing.assert_allclose(by_party, alone, atol=1e-5)
    np.testing.assert_allclose(in_turns.reshape(-1, 3, 6).swapaxes(0, 1).reshape(-1, 6), alone, atol=1e-5)


def test_a_window_is_read_from_where_the_last_one_of_its_party_ended(model: EmotionModel) -> None:
    windows = party(1)
    assert [batch.features.shape for batch in model.batches([windows[0]])] == [(1, 192, 64)]
    (later,) = model.batches([windows[1], windows[4]])
    assert (later.new_cells, later.features.shape, later.places.tolist()) == ((2, 6), (1, 128, 64), [[0, 1]])
    assert windows[0][0].cells == 20
    (pause,) = model.batches([windows[10]])
    assert (pause.new_cells, pause.features.shape) == ((12,), (1, 192, 64))


def test_parties_that_are_alike_go_together_up_to_what_fits_the_cache(model: EmotionModel) -> None:
    parties = [party(seed, 3.5) for seed in range(40)]
    batches = [*model.batches([window for windows in parties for window in windows])]
    assert [(len(batch.places), batch.new_cells) for batch in batches] == [(4, (12, 2))] * 10
    assert [place for batch in batches for places in batch.places for place in places] == list(range(80))


def test_a_long_way_of_one_party_goes_in_several_runs(model: EmotionModel) -> None:
    windows = party(3, 20.0)
    first, second = model.batches(windows)
    assert (first.new_cells, second.new_cells) == ((12, *[2] * 26), (2,) * 8)
    assert [*first.places[0], *second.places[0]] == list(range(35))


def test_a_party_begins_anew_after_a_pause_as_long_as_a_window(model: EmotionModel) -> None:
    windows = party(2, 12.0)
    later = model.score([windows[0], windows[9]])[1]
    (alone,) = model.score([(Stream(), windows[9][1])])
    np.testing.assert_array_equal(later, alone)


def test_a_higher_temperature_makes_scores_softer_and_keeps_their_order(tmp_path: Path) -> None:
    sharp = EmotionModel(write_tiny_model(tmp_path / "a.onnx")).score(party(1))
    soft = EmotionModel(write_tiny_model(tmp_path / "b.onnx", calibration={"temperature": 2.0})).score(party(1))
    assert (soft.max(axis=1) < sharp.max(axis=1)).all()
    np.testing.assert_array_equal(soft.argmax(axis=1), sharp.argmax(axis=1))


def test_a_bias_of_neutral_leaves_what_the_others_are_to_each_other(tmp_path: Path) -> None:
    plain = EmotionModel(write_tiny_model(tmp_path / "a.onnx")).score(party(1))
    calibration = {"temperature": 1.0, "neutral_bias": -0.5}
    biased = EmotionModel(write_tiny_model(tmp_path / "b.onnx", calibration=calibration)).score(party(1))
    neutral = LABELS.index("neutral")
    others = [place for place in range(len(LABELS)) if place != neutral]
    raised = (biased - plain)[:, others]
    np.testing.assert_allclose(raised, np.repeat(raised[:, :1], len(others), axis=1), atol=1e-5)
    np.testing.assert_allclose((biased - plain)[:, neutral], raised[:, 0] - 0.5, atol=1e-5)
    np.testing.assert_allclose(np.exp(biased).sum(axis=1), 1.0, atol=1e-5)


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    text = EmotionModel(write_tiny_model(tmp_path / "m.onnx")).describe()
    assert "model:         tiny 0\n" in text
    assert "parameters:    384\n" in text
    assert "arithmetic:    0.1 MFLOP a window\n" in text
    assert "calibration:   temperature 1.000, neutral +0.00\n" in text
    assert "baseline:      prior of 20 windows, correction at most 2.5\n" in text
    assert "licence:       Apache-2.0\n" in text
    assert "score uar:     0.25" in text


def test_the_file_says_how_its_baseline_moves(tmp_path: Path) -> None:
    baseline = MEANING["baseline"] | {"common": [0.6, 0.0, 0.0, 0.0, -0.8, 0.0], "along_windows": 8.0}
    text = EmotionModel(write_tiny_model(tmp_path / "m.onnx", baseline=baseline)).describe()
    assert "prior of 8 windows along what emotions have in common, 20 across it, correction at most 2.5\n" in text


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx: no such model file; expected an ONNX file made by"):
        EmotionModel(tmp_path / "none.onnx")


def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_text("hello")
    with pytest.raises(ModelError, match=r"m\.onnx: not an ONNX model that can be run; expected one made by"):
        EmotionModel(path)


def test_a_model_without_its_meaning_is_refused(tmp_path: Path) -> None:
    model = onnx.load(write_tiny_model(tmp_path / "m.onnx"))
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(ModelError, match=r"bare\.onnx: lacks the metadata 'callmood'; expected a model made by"):
        EmotionModel(tmp_path / "bare.onnx")


def test_a_meaning_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    meaning = {name: value for name, value in MEANING.items() if name != "licence"}
    path = write_tiny_model(tmp_path / "m.onnx", metadata=json.dumps(meaning))
    with pytest.raises(ModelError, match=r"missing required field `licence`; export the model again"):
        EmotionModel(path)


def test_a_file_whose_moods_have_a_baseline_of_their_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"unknown field `weight_windows` - at `\$\.moods`; export the model again"):
        EmotionModel(write_tiny_model(tmp_path / "m.onnx", moods={"weight_windows": 40.0}))


def test_a_misspelt_name_in_the_meaning_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"unknown field `comon` - at `\$\.baseline`; export the model again"):
        EmotionModel(write_tiny_model(tmp_path / "m.onnx", baseline=MEANING["baseline"] | {"comon": []}))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"format": 1}, "format is 1, expected 2"),
        ({"labels": ["sad"] * 6}, "labels is ['sad', 'sad', 'sad', 'sad', 'sad', 'sad'], expected ['anger',"),
        ({"sample_rate": 16_000}, "sample_rate is 16000, expected 8000"),
        ({"features": MEANING["features"] | {"frame_hop": 80}}, "features.frame_hop is 80, expected 125"),
        ({"features": MEANING["features"] | {"spectrum": [1.0]}}, "length of features.spectrum is 1, expected 64"),
        ({"features": MEANING["features"] | {"filter_bank": "AAAA"}}, "filter bank is another one, expected ours"),
        ({"calibration": {"temperature": 0.0}}, "temperature from 0.01 to 100 is False, expected True"),
        ({"calibration": {"temperature": 1e-60}}, "temperature from 0.01 to 100 is False, expected True"),
        (
            {"calibration": {"temperature": 1.0, "neutral_bias": -1e9}},
            "neutral_bias from -10 to 10 is False, expected True",
        ),
        ({"baseline": MEANING["baseline"] | {"common": [1.0]}}, "number of baseline.common is 1, expected 6"),
        ({"baseline": MEANING["baseline"] | {"common": [0.5] * 6}}, "length of baseline.common is 1.22, expected 1"),
        ({"baseline": MEANING["baseline"] | {"cap": -1.0}}, "baseline.cap at least zero is False, expected True"),
        (
            {"baseline": MEANING["baseline"] | {"along_windows": 0.0}},
            "windows of the baseline's prior above zero is False",
        ),
        ({"outputs": 5}, "labels of the output is 5, expected 6"),
    ],
)
def test_a_file_that_contradicts_the_live_path_is_refused(tmp_path: Path, changes: dict, text: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ModelError) as caught:
        EmotionModel(write_tiny_model(tmp_path / "m.onnx", **changes))
    assert text in str(caught.value)
    assert str(caught.value).endswith("; export the model again with this version of callmood")


def test_a_file_of_a_network_that_read_whole_windows_is_refused(tmp_path: Path) -> None:
    whole = onnx.helper.make_graph(
        [onnx.helper.make_node("Flatten", ["features"], ["probabilities"])],
        "whole",
        [onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["batch", 188, 64])],
        [onnx.helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, ["batch", None])],
    )
    for number, text in (
        (1, "format is 1, expected 2"),
        (2, "input is ['features'], expected ['features', 'state', 'ends']"),
    ):
        model = onnx.helper.make_model(whole, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
        onnx.helper.set_model_props(model, {"callmood": json.dumps(MEANING | {"format": number})})
        onnx.save(model, path := tmp_path / f"{number}.onnx")
        with pytest.raises(ModelError) as caught:
            EmotionModel(path)
        cure = "export the model again with this version of callmood"
        assert str(caught.value) == f"{path}: {text}; {cure}"
