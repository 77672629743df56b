"""`callmood alerts` as people run it: a process, its two streams and its exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.alerts.rulefile import DEFAULT_FILE
from monitor.messages import decode, encode
from tests.alert_readings import reading
from tests.test_trial import call
from tests.test_windows import speech_like
from tests.tiny_model import write_tiny_model

ROOT = Path(__file__).parents[1]
CALLS = ROOT / "examples" / "calls"
ENVIRONMENT = {**os.environ, "COLUMNS": "200", "TERM": "dumb"}


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitor.cli", *map(str, arguments)]
    environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.fixture
def printed(tmp_path: Path) -> Path:
    """Two calls as `replay --json` prints them: in the first one anger begins at 10 s."""
    angry = [reading(k, 2.5 + k / 2, {"anger": 0.05 if k < 16 else 0.8}) for k in range(1, 40)]
    calm = [reading(k, 2.5 + k / 2, {"anger": 0.05}) for k in range(1, 40)]
    path = tmp_path / "day.jsonl"
    path.write_bytes(b"\n".join(map(encode, [*call(angry, "bad", 1800.0), *call(calm, "good", 1800.0)])))
    return path


def test_the_default_rules_are_printed_and_can_be_used(tmp_path: Path, printed: Path) -> None:
    done = run(tmp_path, "alerts", "rules")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", DEFAULT_FILE.read_text())
    (tmp_path / "own.toml").write_text(done.stdout)
    own, default = (run(tmp_path, "alerts", "try", rules, printed) for rules in ("own.toml", "default"))
    assert own.returncode == 0
    assert own.stdout == default.stdout


def test_rules_are_tried_on_printed_messages_against_labels(tmp_path: Path, printed: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("call,start_s,end_s,label\nbad,1,9,neutral\nbad,10,20,anger\n")
    done = run(tmp_path, "alerts", "try", "default", printed, "--labels", labels)
    assert (done.returncode, done.stderr) == (0, "")
    first, blank, header, *rows, _, total = done.stdout.splitlines()
    assert first.startswith(
        "    0:15  bad                   sustained_anger (critical, customer): since 0:11, 9 readings"
    )
    assert (blank, header.split()[:3]) == ("", ["rule", "raised", "an"])
    assert rows[0].split() == [
        "sustained_anger",
        "1",
        "1.0",
        "1.00",
        "(1",
        "of",
        "1)",
        "1.00",
        "(1",
        "of",
        "1)",
        "5.5",
        "s",
    ]
    assert total == "2 calls, 60:00 of call time, 1 of them labelled"
    told = json.loads(run(tmp_path, "alerts", "try", "default", printed, "--labels", labels, "--json").stdout)
    assert [(a["call"], a["rule"], a["raised_s"]) for a in told["alerts"]] == [("bad", "sustained_anger", 15.5)]
    assert told["hours"] == 1.0
    assert told["rules"][0]["median_time_s"] == 5.5


def test_rules_are_tried_on_a_history(tmp_path: Path) -> None:
    model = f"model={write_tiny_model(tmp_path / 'tiny.onnx')}"
    quiet = np.zeros((8_000 * 28, 2), np.float32)
    speech = np.stack([speech_like(5.0, seed=1), 0.3 * speech_like(5.0, seed=2)], axis=1)
    soundfile.write(tmp_path / "dead.wav", np.concatenate([speech, quiet]), 8_000)
    kept = ["--set", f"history.file={tmp_path / 'kept.db'}", "--set", model]
    told = run(tmp_path, "replay", "dead.wav", "--pace", "fast", "--json", "--channels", "agent,customer", *kept)
    (tmp_path / "told.jsonl").write_text(told.stdout)
    stored, printed = (run(tmp_path, "alerts", "try", "default", file) for file in ("kept.db", "told.jsonl"))
    assert stored.returncode == 0, stored.stderr
    assert "dead                  dead_air (warning, call): since " in stored.stdout
    assert stored.stdout == printed.stdout


def test_rules_are_tried_on_recordings_through_the_whole_live_path(tmp_path: Path) -> None:
    rules = tmp_path / "touchy.toml"
    defaults = DEFAULT_FILE.read_text()
    touchy = defaults.replace("raise_for_s = 4.5", "raise_for_s = 1")
    assert touchy != defaults
    rules.write_text(touchy)
    recording, options = CALLS / "growing_anger.flac", ["--channels", "agent,customer"]
    done = run(tmp_path, "alerts", "try", rules, recording, "--json", "--labels", CALLS / "labels.csv", *options)
    live = run(tmp_path, "replay", recording, "--pace", "fast", "--json", "--set", f"alert_rules={rules}", *options)
    told = [decode(line) for line in live.stdout.splitlines()]
    raised = [(m.rule, m.start_s, m.at_s, m.evidence) for m in told if m.__class__.__name__ == "AlertRaised"]
    tried = json.loads(done.stdout)
    assert [(a["rule"], a["start_s"], a["raised_s"], a["evidence"]) for a in tried["alerts"]] == raised
    assert raised
    assert tried["calls"] == [{"call": "growing_anger", "duration_s": 92.716, "labelled": True}]
    assert done.returncode == 2
    assert done.stderr == (
        f"callmood: {CALLS}/labels.csv: no call calm, sad, won_back was heard, only growing_anger: "
        "a recording's call is its file name without the ending\n"
    )


def test_what_cannot_be_heard_is_told_and_the_rest_is_tried(tmp_path: Path, printed: Path) -> None:
    done = run(tmp_path, "alerts", "try", "default", "none.wav", printed)
    assert done.returncode == 2
    assert "2 calls, 60:00 of call time" in done.stdout
    assert done.stderr.startswith("callmood: none.wav: cannot be opened (No such file or directory), expected")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["alerts", "try"], "Missing argument 'RULES'; `callmood --help` says what there is"),
        (["alerts", "try", "default"], "Missing argument 'PATH...'"),
        (["alerts", "try", "none.toml", "day.jsonl"], "none.toml: cannot read the rules: No such file or directory; "),
        (["alerts", "try", "bad.toml", "day.jsonl"], "bad.toml:2: x: unknown key 'mesure': did you mean 'measure'?"),
        (["alerts", "try", "default", "bad.jsonl"], "bad.jsonl:1: no message of callmood: "),
        (["alerts", "try", "default", "day.jsonl", "--labels", "bad.csv"], "bad.csv:2: label must be one of anger, "),
        (["alerts", "try", "default", "day.jsonl", "--tolerance", "99"], "Invalid value for '--tolerance': "),
        (["replay", "none.wav", "--set", "alert_rules=bad.toml"], "bad.toml:2: x: unknown key 'mesure'"),
        (["serve", "--set", "port=0", "--set", "alert_rules=bad.toml"], "bad.toml:2: x: unknown key 'mesure'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, printed: Path, arguments: list[str], text: str) -> None:
    assert printed.parent == tmp_path
    (tmp_path / "bad.toml").write_text('[x]\nmesure = "score"\n')
    (tmp_path / "bad.jsonl").write_text("{\n")
    (tmp_path / "bad.csv").write_text("call,start_s,end_s,label\nbad,1,2,cross\n")
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"callmood: {text}")
    assert done.stderr.count("\n") == 1
