"""`callmood report` as people run it: what it writes, what it says, its exit code."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from msgspec.structs import replace

from monitor.cli import main
from monitor.messages import Hello, encode
from tests.report_calls import Told, with_everything
from tests.stored import write
from tests.test_windows import speech_like
from tests.tiny_model import write_tiny_model

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb", "COLUMNS": "200"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, a history of three calls, their messages, and a recording."""
    folder = tmp_path_factory.mktemp("reports")
    write_tiny_model(folder / "tiny.onnx")
    calls = [with_everything("growing"), Told("calm one").say(30).end(), Told("../escape").say(9).alert().end("angry")]
    messages = [message for call in calls for message in call.messages]
    write(folder / "history.db", messages)
    (folder / "three.jsonl").write_bytes(b"\n".join(map(encode, messages)))
    (folder / "one.jsonl").write_bytes(b"\n".join(map(encode, calls[0].messages)))
    sides = [0.3 * speech_like(6, seed=1), speech_like(6, seed=2)]
    (folder / "calls").mkdir()
    soundfile.write(folder / "calls" / "recorded.wav", np.stack(sides, axis=1), 16_000)
    return folder


@dataclass(frozen=True)
class Done:
    """What the program left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The program with arguments, in the place, in this process."""

    def run_in_place(*arguments: str) -> Done:
        settings = ["--set", "model=tiny.onnx", "--set", "history.file=history.db"]
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["callmood", "report", *arguments, *settings])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Done(int(ended.value.code or 0), out, err)

    return run_in_place


def test_a_stored_call_becomes_a_page_named_after_it(place: Path, run: Run):
    done = run("growing")
    assert (done.code, done.out, done.err) == (0, "wrote growing.html\n", "")
    html = (place / "growing.html").read_text()
    assert "<title>growing · callmood</title>" in html
    assert "test" not in html.split("</style>")[1].split("What this rests on")[0]
    assert "tiny 1" in html


def test_a_recording_becomes_a_page_and_a_picture_with_its_sound(place: Path, run: Run):
    done = run("calls/recorded.wav", "--out", "r.html", "--png", "r.png", "--channels", "agent,customer")
    assert (done.code, done.out, done.err) == (0, "wrote r.html\nwrote r.png\n", "")
    html = (place / "r.html").read_text()
    assert html.count('src="data:image/png;base64,') == 3
    assert "score_agent = false" in html
    assert (place / "r.png").read_bytes().startswith(b"\x89PNG")


def test_a_recording_without_its_sound_needs_no_extra(place: Path):
    blocked = "import sys; sys.modules['librosa.display'] = None; from monitor.cli import main; main()"
    command = [sys.executable, "-c", blocked, "report", "calls/recorded.wav", "--set", "model=tiny.onnx"]
    options = {"cwd": place, "env": ENVIRONMENT, "capture_output": True, "text": True, "timeout": 60, "check": False}
    done = subprocess.run([*command, "--no-sound", "--out", "quiet.html"], **options)
    assert (done.returncode, done.stdout) == (0, "wrote quiet.html\n")
    assert "data:image/png" not in (place / "quiet.html").read_text()
    refused = subprocess.run(command, **options)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "callmood: pictures and sound need the extra report (librosa.display is missing): pip install 'callmood[report]', "
        "or --no-sound and no --png for the page without them\n"
    )


def test_several_become_a_page_each_and_a_list_and_what_cannot_be_reported_is_said(place: Path, run: Run):
    (place / "calls" / "broken.wav").write_text("no audio")
    done = run("three.jsonl", "calls", "nobody", "--folder", "all", "--no-sound", "--channels", "agent,customer")
    (place / "calls" / "broken.wav").unlink()
    assert (done.code, done.out) == (2, "wrote all/index.html\n")
    assert sorted(path.name for path in (place / "all").iterdir()) == [
        "calm_one.html",
        "escape.html",
        "growing.html",
        "index.html",
        "recorded.html",
    ]
    first, second = done.err.splitlines()
    assert first.startswith("callmood: calls/broken.wav: not a recording that can be read")
    assert second.startswith("callmood: no call 'nobody' is in history.db")
    assert 'href="growing.html"' in (place / "all" / "index.html").read_text()
    assert 'href="index.html">All calls' in (place / "all" / "growing.html").read_text()


def test_a_day_is_summed_up_with_pages_of_the_worst_calls_and_no_agent(place: Path, run: Run):
    done = run("--since", "2026-09-20", "--until", "2026-09-22", "--folder", "day")
    assert (done.code, done.out, done.err) == (0, "wrote day/index.html\n", "")
    assert sorted(path.name for path in (place / "day").iterdir()) == ["escape.html", "growing.html", "index.html"]
    html = (place / "day" / "index.html").read_text()
    assert 'href="escape.html"' in html
    assert "agent growing" not in html
    assert "id-4711" not in html
    assert "agent growing" in (place / "day" / "growing.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "report takes calls or recordings, or --since DAY: for example `callmood report call.wav`"),
        (["growing", "--since", "today"], "report takes calls or recordings, or --since DAY: .*"),
        (["growing", "--until", "today"], "--until goes with --since DAY: for example --since yesterday --until today"),
        (["growng"], "no call 'growng' is in history.db.*, and no file here is 'growng'; did you mean 'growing'"),
        (
            ["lost.wav"],
            r"lost\.wav: cannot be opened \(No such file or directory\), expected a recording; check the path",
        ),
        (["three.jsonl"], "3 calls are in it: name a --folder for their pages"),
        (
            ["growing", "three.jsonl", "--out", "x.html"],
            "--out and --png are of one call, several go into --folder DIR.*",
        ),
        (
            ["growing", "--out", "no/x.html"],
            r"no/x\.html: cannot be written \(No such file or directory\); name a place .*",
        ),
        (["tiny.onnx"], r"tiny\.onnx: not a recording that can be read .*"),
        (["empty.jsonl"], r"empty\.jsonl: no call in it, expected messages as `callmood replay --json` prints them"),
        (["cut.jsonl"], r"cut\.jsonl, line 3: no message \(.*\), expected one JSON object a line as .*"),
        (["short.jsonl"], r"growing: no reading, so there is nothing to report: it has only just begun"),
        (["--since", "today", "--png", "x.png"], "--png draws one call, got --since: name the call instead"),
    ],
)
def test_what_cannot_be_reported_is_said_in_one_line_with_its_cure(
    place: Path, arguments: list[str], text: str, run: Run
):
    lines = (place / "one.jsonl").read_bytes().splitlines()
    (place / "empty.jsonl").write_bytes(b"\n")
    (place / "cut.jsonl").write_bytes(b"\n".join([*lines[:2], lines[3][:40]]))
    (place / "short.jsonl").write_bytes(lines[0])
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert re.fullmatch(f"callmood: {text}", line), line


def test_what_watch_wrote_down_over_a_cut_is_one_call_and_another_server_begins_another(
    place: Path, tmp_path: Path, run: Run
):
    told = with_everything("seen").messages
    hello = Hello(at=told[0].at, node="n", model="tiny 1", window_s=3.0, hop_s=0.5, epoch="first")
    seen = [hello, *told[:60], hello, told[0], *told[50:], replace(hello, epoch="second"), told[0], *told[40:]]
    (tmp_path / "seen.jsonl").write_bytes(b"\n".join(map(encode, seen)))
    assert run(str(tmp_path / "seen.jsonl"), "--folder", "seen").code == 0
    first, second = ((place / "seen" / name).read_text() for name in ("seen.html", "seen-2.html"))
    assert "messages of this call are missing" not in first
    assert "39 messages of this call are missing" in second


def test_a_call_that_still_runs_is_reported_as_such(place: Path, tmp_path: Path, run: Run):
    file = tmp_path / "running.jsonl"
    messages = [replace(message, call="running") for message in with_everything().messages[:60]]
    file.write_bytes(b"\n".join(map(encode, messages)))
    assert run(str(file), "--out", "running.html").code == 0
    assert "This call was still going on: the report reaches to" in (place / "running.html").read_text()
