import sys
from pathlib import Path

import numpy as np
import pytest

from monitor.bench import load, rivals, stages, voices
from monitor.errors import AudioError
from monitor.model import EmotionModel
from monitor.settings import Settings
from tests.test_windows import speech_like
from tests.tiny_model import write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> EmotionModel:
    return EmotionModel(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"))


@pytest.fixture(scope="module")
def cost(model: EmotionModel) -> stages.Cost:
    return stages.cost(model, [speech_like(30.0)], Settings(), parties=3, rounds=1)


def test_every_stage_of_a_party_costs_something_and_together_they_are_about_the_whole(cost: stages.Cost) -> None:
    assert tuple(cost.stages_ms) == stages.STAGES
    assert all(ms > 0 for ms in cost.stages_ms.values())
    assert cost.all_but_network_ms == pytest.approx(sum(cost.stages_ms.values()) - cost.stages_ms["network"], abs=1e-3)
    assert cost.whole_ms > 0
    assert 0.2 < cost.scored_windows_per_s <= 2.0


def test_the_networks_arithmetic_stands_beside_the_machines(model: EmotionModel) -> None:
    found = rivals.arithmetic(model, seconds=0.05)
    assert found["network_gflop_per_cpu_s"] > 0
    assert found["matrix_product_gflop_per_cpu_s"] > 0


def test_without_librosa_its_times_are_not_known_and_ours_are(
    model: EmotionModel, cost: stages.Cost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "librosa", None)
    found = rivals.against_librosa(cost, speech_like(3.0), Settings()) | rivals.against_naive(
        model, cost, speech_like(3.0)
    )
    assert [name for name, value in found.items() if value is None] == [
        "librosa_ms_per_window",
        "librosa_over_ours",
        "naive_ms_per_window",
        "naive_over_line",
    ]
    assert found["features_and_voice_activity_ms_per_window"] > 0


def test_the_libraries_count_for_what_is_new_in_a_window(cost: stages.Cost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "least_ms", lambda work, _: work() or 8.0)
    found = rivals.against_librosa(cost, speech_like(4.0), Settings())
    assert found["of_which_webrtc_and_fft_alone_ms"] == 8.0 * 0.5 / 4.0, "half a second of four"


def test_parties_at_real_pace_are_heard_without_a_loss(model: EmotionModel) -> None:
    measured = load.measure(model, [speech_like(30.0)], Settings(), parties=2, seconds=1.0)
    assert (measured.parties, measured.dropped) == (2, 0)
    assert measured.latency_p50_ms <= measured.latency_p99_ms


def test_voices_at_another_rate_are_refused(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "wide.wav", np.zeros(1_600), 16_000)
    with pytest.raises(AudioError, match="expected 8000 Hz, got 16000 Hz"):
        voices.voices_of([tmp_path / "wide.wav"])
