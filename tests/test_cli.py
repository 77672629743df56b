"""The program as people run it: a process, its two streams and its exit code."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from monitor.audio import float_to_mulaw, mulaw_to_float
from monitor.cli.running import _invitation
from monitor.messages import CallEnded, decode
from monitor.settings import Settings
from monitor.tokens import Tokens
from tests.captures import rtp, udp, write_pcap
from tests.rtp_streams import Sender
from tests.test_access import make_certificate
from tests.test_windows import speech_like
from tests.tiny_model import write_tiny_model

ENVIRONMENT = {**os.environ, "COLUMNS": "200", "TERM": "dumb"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model and three recordings of two parties."""
    folder = tmp_path_factory.mktemp("calls")
    write_tiny_model(folder / "tiny.onnx")
    for number in range(3):
        sides = [speech_like(4.25, seed=number), 0.3 * speech_like(4.25, seed=number + 10)]
        soundfile.write(folder / f"call-{number}.wav", np.stack(sides, axis=1), 8_000)
    return folder


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "monitor.cli", *arguments]


def run(place: Path, *arguments: str, model: bool = True) -> subprocess.CompletedProcess[str]:
    extra = ["--set", "model=tiny.onnx"] if model else []
    root = str(Path(__file__).parents[1])
    environment = ENVIRONMENT | {"PYTHONPATH": root}
    return subprocess.run(
        command(*arguments, *extra), cwd=place, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def readings(text: str) -> list[dict[str, Any]]:
    """Messages without the times of the clock."""
    messages = [json.loads(line) for line in text.splitlines()]
    return [{k: v for k, v in message.items() if k not in ("at", "latency_ms")} for message in messages]


def test_json_is_the_contract_one_message_a_line_and_nothing_else(place: Path) -> None:
    done = run(place, "replay", "call-0.wav", "--pace", "fast", "--json")
    assert done.returncode == 0
    messages = [decode(line) for line in done.stdout.splitlines()]
    assert [type(m).__name__ for m in messages[:2]] == ["Hello", "CallStarted"]
    ended = messages[-1]
    assert isinstance(ended, CallEnded)
    assert (ended.duration_s, ended.reason) == (4.25, "end")
    assert [m.seq for m in messages[1:]] == list(range(1, len(messages)))  # type: ignore[union-attr]
    assert done.stderr == (
        "callmood: two channels are taken as agent,customer; name them otherwise with --channels customer,agent\n"
    )


def test_a_capture_reads_like_the_recording_of_the_same_call(place: Path, tmp_path: Path) -> None:
    sides = [mulaw_to_float(float_to_mulaw(speech_like(5.0, seed=seed))) for seed in (1, 2)]
    soundfile.write(tmp_path / "same.wav", np.stack(sides, axis=1), 8_000, subtype="PCM_16")
    ways = [(("192.0.2.1", 4_000 + 2 * side), ("192.0.2.9", 40_000 + 2 * side)) for side in (0, 1)]
    frames = [
        (packet.arrived_s, udp(*ways[side], rtp(packet)))
        for side, sound in enumerate(sides)
        for packet in Sender(source=side, sizes=[160, 80] if side else [240]).packets(sound)
    ]
    write_pcap(tmp_path / "same.pcap", sorted(frames))
    told = {}
    for path in ("same.wav", "same.pcap"):
        done = run(place, "replay", str(tmp_path / path), "--pace", "fast", "--json", "--channels", "agent,customer")
        assert done.returncode == 0, done.stderr
        told[path] = [
            {name: value for name, value in message.items() if name not in ("call", "seq")}
            for message in readings(done.stdout)
            if message["type"] == "reading" and message["party"] == "customer"
        ]
    assert len(told["same.wav"]) == 5
    assert told["same.pcap"] == told["same.wav"]


def test_a_capture_that_cannot_be_read_is_one_line_and_code_2(place: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.pcap"
    path.write_bytes(b"\xd4\xc3\xb2\xa1" + bytes(30))
    done = run(place, "replay", str(path), "--pace", "fast")
    assert done.returncode == 2
    assert done.stderr.startswith(f"callmood: {path}: ")
    assert done.stderr.count("\n") == 1


def test_live_pace_and_fast_pace_tell_the_same(place: Path) -> None:
    started_s = time.monotonic()
    live = run(place, "replay", "call-0.wav", "call-1.wav", "--json", "--channels", "agent,customer")
    assert time.monotonic() - started_s > 4.25
    fast = run(place, "replay", "call-0.wav", "call-1.wav", "--json", "--channels", "agent,customer", "--pace", "fast")

    def by_call(text: str) -> list[dict[str, Any]]:
        return sorted(readings(text), key=lambda m: (m.get("call", ""), m.get("seq", 0)))

    ours, theirs = by_call(live.stdout), by_call(fast.stdout)
    # ONNX Runtime adds up a lone window of the tiny model in another order than several: a rounded score may differ by one.
    figures = [[[*(message.pop("scores", None) or {}).values()] for message in told] for told in (ours, theirs)]
    for one, other in zip(*figures, strict=True):
        assert one == pytest.approx(other, abs=1.5e-4)
    assert ours == theirs
    assert (live.stderr, fast.stderr) == ("", "")


def test_without_a_terminal_every_reading_is_a_line_and_every_call_a_summary(place: Path) -> None:
    done = run(place, "replay", ".", "--pace", "fast", "--set", "port=0")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert sum("customer " in line and "%" in line and not line.startswith("  customer:") for line in lines) == 12
    summaries = sorted(line.split(":")[0] for line in lines if ", alerts: " in line)
    assert summaries == ["call-0", "call-1", "call-2"]
    assert "websocket:" not in done.stdout


def test_a_folder_of_a_thousand_short_clips_is_read_to_its_end(place: Path, tmp_path: Path) -> None:
    clip = speech_like(0.9)
    for number in range(1_000):
        soundfile.write(tmp_path / f"clip-{number:04}.wav", clip, 8_000)
    done = run(place, "replay", str(tmp_path), "--pace", "fast", "--json", "--channels", "customer")
    assert done.returncode == 0
    kinds = [message["type"] for message in readings(done.stdout)]
    assert (kinds.count("call_started"), kinds.count("reading"), kinds.count("call_ended")) == (1_000, 1_000, 1_000)


def test_what_is_bad_is_told_and_the_rest_is_played(place: Path, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("this is no audio")
    (tmp_path / "empty.wav").write_bytes(b"")
    done = run(
        place,
        "replay",
        "none.wav",
        str(tmp_path),
        "call-0.wav",
        "--pace",
        "fast",
        "--json",
        "--channels",
        "agent,customer",
    )
    assert done.returncode == 2
    assert [m["call"] for m in readings(done.stdout) if m["type"] == "call_ended"] == ["call-0"]
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("callmood: none.wav: cannot be opened (No such file or directory), expected a recording")
    assert lines[1].startswith(f"callmood: {tmp_path}/empty.wav: empty (0 bytes), expected WAV, FLAC, OGG or MP3")
    assert lines[2].startswith(f"callmood: {tmp_path}/text.wav: not a recording that can be read")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["replay"], "Missing argument 'PATH...'; `callmood --help` says what there is"),
        (["replay", "call-0.wav", "--pce", "fast"], "No such option: --pce (Possible options: --pace, --set); "),
        (["replay", "call-0.wav", "--pace", "slow"], "--pace must be live or fast, got 'slow'"),
        (["replay", "call-0.wav", "--channels", "bob"], "--channels takes agent, customer, mixed, got 'bob'"),
        (["replay", "call-0.wav", "--set", "hopp_s=1"], "unknown setting 'hopp_s': did you mean 'hop_s'?"),
        (["replay", "call-0.wav", "--as", " "], "--as must be a name of 1 to 80 printable characters, got ' '"),
        (["replay", "call-0.wav", "--as", "a\x1b[2J"], "--as must be a name of 1 to 80 printable characters, got 'a"),
        (["replay", "call-0.wav", "--set", "hop_s=64"], "hop_s must be within 0.25..3 s, got 64"),
        (["replay", "call-0.wav", "--set", "model=call-0.wav"], "call-0.wav: not an ONNX model that can be run"),
        (["replay", "call-0.wav", "--set", "model=none.onnx"], "none.onnx: no such model file"),
        (["config", "--config", "none.toml"], "none.toml: cannot read the settings file: No such file or directory"),
        (["demo", "--port", "99999"], "port must be within 0..65535, got 99999"),
        (["walk"], "No such command 'walk'; `callmood --help` says what there is"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(place: Path, arguments: list[str], text: str) -> None:
    done = run(place, *arguments, model=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"callmood: {text}")
    assert done.stderr.count("\n") == 1


def test_a_call_that_breaks_off_is_told_and_played_up_to_there(place: Path, tmp_path: Path) -> None:
    whole = (place / "call-0.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) * 7 // 8])
    samples = speech_like(4.0)
    samples[28_000] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, 8_000, subtype="FLOAT")
    done = run(place, "replay", str(tmp_path), "--pace", "fast", "--json")
    assert done.returncode == 2
    ends = {m["call"]: m for m in readings(done.stdout) if m["type"] == "call_ended"}
    assert ends["cut"]["duration_s"] == pytest.approx(3.72, abs=0.01)
    assert ends["nan"]["duration_s"] == 3.5
    assert all(end["reason"].startswith("error: ") for end in ends.values())
    told = [line for line in done.stderr.splitlines() if "taken as" not in line]
    assert [line.split(": ")[1] for line in told] == [f"{tmp_path}/cut.wav", f"{tmp_path}/nan.wav"]
    assert "truncated: its header promises" in told[0]
    assert "the sample at 3.50 s is nan, expected numbers within ±1; export it again" in told[1]


def test_a_taken_port_is_told(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(place, "replay", "call-0.wav", "--port", str(port))
    assert done.returncode == 2
    assert done.stderr.startswith(f"callmood: port {port} on 127.0.0.1 is taken")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_goes_away_ends_it_without_a_word(place: Path, long_call: str, options: list[str]) -> None:
    arguments = command("replay", long_call, "--set", "model=tiny.onnx", "--channels", "agent,customer", *options)
    environment = ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(
        [*arguments, "--set", "port=0"], cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=30) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_names_are_shown_as_text(place: Path, tmp_path: Path) -> None:
    name = "[bold]x\x1b[31m.wav"
    (tmp_path / name).write_bytes((place / "call-0.wav").read_bytes())
    done = run(place, "replay", str(tmp_path / name), "--pace", "fast")
    assert done.returncode == 0
    assert "[bold]x" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_settings_print_as_toml_that_reads_back(place: Path, tmp_path: Path) -> None:
    first = run(place, "config", "--set", "hop_s=1.0", model=False)
    assert "hop_s = 1.0\n" in first.stdout
    (tmp_path / "callmood.toml").write_text(first.stdout)
    again = run(place, "config", "--config", str(tmp_path / "callmood.toml"), model=False)
    assert again.stdout == first.stdout


def test_scoring_the_agent_is_logged(place: Path) -> None:
    arguments = ["replay", "call-0.wav", "--pace", "fast", "--json", "--channels", "agent,customer"]
    done = run(place, *arguments, "--set", "score_agent=true")
    assert done.stderr == "callmood: setting score_agent = true\n"
    started = readings(done.stdout)[1]
    assert started["parties"]["agent"] == {"channel": 0, "scored": True}


@pytest.fixture
def long_call(place: Path) -> str:
    path = place / "long.flac"
    if not path.exists():
        soundfile.write(path, np.stack([speech_like(60.0), speech_like(60.0, 1)], axis=1), 8_000)
    return path.name


def heed_interrupts() -> None:
    """A shell's background jobs, and what they start, ignore Ctrl-C: the tests may run in one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def playing(place: Path, long_call: str) -> Iterator[subprocess.Popen[str]]:
    """A replay at live pace whose first reading has been printed."""
    environment = ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONUNBUFFERED": "1"}
    arguments = command("replay", long_call, "--set", "model=tiny.onnx", "--port", "0", "--channels", "agent,customer")
    process = subprocess.Popen(
        arguments,
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    yield process
    process.kill()
    process.communicate()


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"{text!r} never came: {process.communicate()}")


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_cleanly_with_the_summaries(playing: subprocess.Popen[str], kind: signal.Signals) -> None:
    wait_for(playing, "%")
    playing.send_signal(kind)
    out, err = playing.communicate(timeout=20)
    assert playing.returncode == 0
    assert "stopped, alerts: none\n  customer: " in out
    assert err == ""


def test_a_token_is_made_with_a_secret_of_ones_own(place: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    done = run(place, "token", "--new-secret", str(secret), model=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"wrote {secret}: set token_secret = '{secret}'\n")
    signing = ["--set", f"token_secret={secret}"]
    done = run(place, "token", "--scope", "agent:4711", "--hours", "8", "--subject", "kim", *signing, model=False)
    assert (done.returncode, done.stderr) == (0, "")
    tokens = Tokens.load(Settings(token_secret=str(secret)))
    assert tokens is not None
    grant = tokens.grant(done.stdout.strip())
    assert (grant.scopes, grant.subject) == ({"agent:4711"}, "kim")
    for arguments, text in [
        (["--scope", "agent:4711"], "no secret to sign with: make one by `callmood token --new-secret FILE`"),
        (signing, "a token needs a --scope, such as calls:*, call:ID, agent:ID, acknowledge or metrics"),
        ([*signing, "--scope", "everything"], "unknown scope 'everything': expected calls:*"),
    ]:
        done = run(place, "token", *arguments, model=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"callmood: {text}")
        assert done.stderr.count("\n") == 1


def test_the_agent_of_a_recording_is_a_pseudonym_unless_it_may_be_shown(place: Path) -> None:
    arguments = ["replay", "call-0.wav", "--pace", "fast", "--json", "--channels", "agent,customer", "--agent", "4711"]
    hidden = run(place, *arguments).stdout
    assert re.fullmatch("id-[0-9a-f]{12}", readings(hidden)[1]["agent"])
    assert "4711" not in hidden
    assert readings(run(place, *arguments, "--set", "show_identities=true").stdout)[1]["agent"] == "4711"


def test_a_hangup_signal_reads_certificate_and_key_anew(place: Path, long_call: str, tmp_path: Path) -> None:
    files = make_certificate(tmp_path)
    settings = [f"--set={name}={path}" for name, path in files.items()]
    arguments = command("--verbose", "replay", long_call, "--set", "model=tiny.onnx", "--port", "0", *settings)
    process = subprocess.Popen(
        [*arguments, "--channels", "agent,customer"],
        cwd=place,
        env=ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert wait_for(process, "websocket: ").split()[1].startswith("wss://127.0.0.1:")
        wait_for(process, "started:")
        process.send_signal(signal.SIGHUP)
        assert process.stderr is not None
        assert any("certificate and token keys were read anew" in line for line in process.stderr)
        Path(files["tls_key"]).chmod(0o644)
        process.send_signal(signal.SIGHUP)
        assert any("nothing was reloaded: " in line and "mode 0644" in line for line in process.stderr)
    finally:
        process.kill()
        process.communicate()


def test_the_demo_asks_for_the_token_that_it_prints(tmp_path: Path) -> None:
    environment = ENVIRONMENT | {"PYTHONUNBUFFERED": "1", "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        command("demo", "--port", "0"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        address = wait_for(process, "websocket: ").split()[1]
        token = wait_for(process, "token, for an hour: ").split()[-1]
        file = Path(wait_for(process, "subscribe: ").split()[-1])
        assert file.read_text().strip() == token
        assert (file.parent.stat().st_mode & 0o777, file.is_relative_to(tmp_path)) == (0o700, True)
        with pytest.raises(InvalidStatus, match="HTTP 401"):
            connect(address)
        with connect(address, additional_headers={"Authorization": f"Bearer {token}"}) as desktop:
            assert json.loads(desktop.recv(timeout=10))["type"] == "hello"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert (process.returncode, file.exists()) == (0, False)
    finally:
        process.kill()
        process.communicate()


def test_the_websocket_streams_what_is_played(playing: subprocess.Popen[str]) -> None:
    address = wait_for(playing, "websocket: ").split()[1]
    with connect(address) as desktop:
        messages = [json.loads(desktop.recv(timeout=10)) for _ in range(6)]
    assert [m["type"] for m in messages[:2]] == ["hello", "call_started"]
    assert {m["type"] for m in messages[2:]} == {"reading"}
    assert [m["seq"] for m in messages[1:]] == list(range(1, 6))


@pytest.mark.parametrize(
    ("files", "options"),
    [
        ({}, ""),
        ({"token_secret": "secret"}, " --token-file FILE"),
        ({"token_public_key": "key.pem", "tls_certificate": "chain.pem"}, " --token-file FILE --ca FILE"),
    ],
)
def test_the_line_that_says_how_to_subscribe_names_the_options_that_the_settings_call_for(
    files: dict[str, str], options: str
) -> None:
    node = SimpleNamespace(settings=SimpleNamespace(token_secret="", token_public_key="", tls_certificate=""))
    vars(node.settings).update(files)
    served = SimpleNamespace(address="ws://127.0.0.1:1/v1/calls", page_address="http://127.0.0.1:1/")
    lines = list(_invitation(node, served, None))
    assert lines[1] == f"subscribe: {sys.executable} -m monitor.cli watch {served.address}{options}"
