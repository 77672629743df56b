"""`callmood serve` as a process: what it listens on, how it ends, and what it says where it cannot begin."""

import asyncio
import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from monitor.audio import float_to_mulaw
from monitor.settings import AudioHookSettings, Settings, SiprecSettings, StreamSettings, TwilioSettings
from tests.peers.media_streams import CALL, MediaStream, call
from tests.sip_client import Client, client, ports, tone
from tests.test_cli import heed_interrupts

ROOT = Path(__file__).parents[1]
QUICK = ("--set", "siprec.drain_s=0.3")


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "monitor.cli", "serve", "--port", "0", *options]


@contextmanager
def serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process, and the port on which it listens for SIP."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        command("--set", "siprec.port=0", *options),
        cwd=ROOT,
        text=True,
        env=os.environ | {"TERM": "dumb"},
        preexec_fn=heed_interrupts,
        **pipes,
    ) as process:
        try:
            said = process.stderr if "--json" in options else process.stdout
            assert said is not None
            line = next((line for line in said if line.startswith("SIPREC")), "")
            match = re.fullmatch(r"SIPREC: sip:127\.0\.0\.1:(\d+) over UDP and TCP\n", line)
            assert match, line
            yield process, int(match[1])
        finally:
            process.kill()


def ends(process: subprocess.Popen[str]) -> list[tuple[str, str]]:
    """(call, reason) of each call's end, once the process is over."""
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    messages = [json.loads(line) for line in output.splitlines()]
    return [(one["call"], one["reason"]) for one in messages if one["type"] == "call_ended"]


def calling(port: int, then: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    """A call with a second of sound on each of its streams, and what `then` does."""

    async def scenario() -> None:
        async with client(port, "TCP") as caller:
            await caller.play({port: tone(440) for port in ports(await caller.invite())}, 1.0)
            await then(caller)

    asyncio.run(scenario())


def test_sigterm_lets_running_calls_end_and_refuses_new_ones() -> None:
    with serving("--json") as (process, port):

        async def then(caller: Client) -> None:
            process.send_signal(signal.SIGTERM)
            async with client(port, call="2@client") as other:
                while (await other.ask("INVITE", to_tag="")).status != 503:
                    await asyncio.sleep(0.05)
            assert (await caller.ask("BYE")).status == 200

        calling(port, then)
        assert ends(process) == [("hVpd7YQgRW2nD22h7q60JQ==", "end")]


@pytest.mark.parametrize(
    ("options", "signals"),
    [(QUICK, [signal.SIGTERM]), ((), [signal.SIGTERM, signal.SIGTERM]), ((), [signal.SIGINT])],
)
def test_calls_that_go_on_are_ended_by_the_limit_or_a_second_signal_with_a_bye(
    options: tuple[str, ...], signals: list[signal.Signals]
) -> None:
    with serving("--json", *options) as (process, port):

        async def then(caller: Client) -> None:
            for number in signals:
                process.send_signal(number)
                await asyncio.sleep(0.3)
            assert (await caller.receive()).method == "BYE"

        calling(port, then)
        assert ends(process) == [("hVpd7YQgRW2nD22h7q60JQ==", "stopped")]


def test_without_calls_it_ends_at_once() -> None:
    with serving("--json") as (process, _):
        process.send_signal(signal.SIGTERM)
        assert ends(process) == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            (),
            "callmood: no source of calls is switched on: write one of [siprec], [twilio], [audiohook], [asterisk],",
        ),
        (
            ("--set", "twilio.path=/t", "--set", "streams.host=0.0.0.0"),
            "callmood: streams.host 0.0.0.0 can be reached by others, but twilio asks for no credentials: see",
        ),
        (
            ("--set", "siprec.host=0.0.0.0"),
            "callmood: siprec.host is 0.0.0.0, open to others, but siprec.allow is empty: name",
        ),
        (
            ("--set", "audiosocket.host=0.0.0.0"),
            "callmood: audiosocket.host is 0.0.0.0, open to others, but audiosocket.allow is empty: name",
        ),
        (("--set", "siprec.prot=1"), "callmood: unknown setting 'siprec.prot': did you mean 'siprec.port'?"),
        (
            ("--set", "siprec.port=0", "--set", "siprec.transports=tls"),
            "callmood: siprec.transports must be of udp, tcp, got",
        ),
    ],
)
def test_what_cannot_be_is_said_in_one_line_with_the_cure(options: tuple[str, ...], error: str) -> None:
    done = subprocess.run(command(*options), cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(error)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("page", ["twilio", "audiohook"])
def test_the_pages_of_websocket_sources_show_and_name_settings(page: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    (tmp_path / "shown.toml").write_text(text.partition("```toml\n")[2].partition("```")[0])
    shown = Settings.load(tmp_path / "shown.toml")
    assert getattr(shown, page) is not None
    for table, kind in (("streams", StreamSettings), ("twilio", TwilioSettings), ("audiohook", AudioHookSettings)):
        named = set(re.findall(rf"\b{table}\.([a-z_0-9]+)", text)) - {"md", "toml", "com", "example"}
        assert named <= {field.name for field in dataclasses.fields(kind)}


async def answered(url: str) -> int:
    """The status of a handshake."""
    try:
        await (await call(url, MediaStream(call="late"))).end()
    except InvalidStatus as refused:
        return refused.response.status_code
    return 101


def test_sigterm_lets_a_streams_call_end_and_refuses_new_ones() -> None:
    sets = ["streams.port=0", "twilio.path=/twilio"]
    options = [word for one in sets for word in ("--set", one)]
    with serving("--json", *options) as (process, _):
        assert process.stderr is not None
        match = re.fullmatch(r"streams: (ws://127\.0\.0\.1:\d+/twilio)\n", process.stderr.readline())
        assert match

        async def scenario() -> None:
            sending = await call(match[1], MediaStream())
            await sending.play({"inbound": float_to_mulaw(tone(440)).tobytes()})
            process.send_signal(signal.SIGTERM)
            while (await answered(match[1])) == 101:
                await asyncio.sleep(0.02)
            assert await answered(match[1]) == 503
            await sending.end()

        asyncio.run(scenario())
        assert (CALL, "end") in ends(process)


def test_the_files_that_are_shown_are_settings(tmp_path: Path) -> None:
    example = Settings.load(ROOT / "examples" / "callmood.toml")
    assert example.siprec is not None
    assert example.twilio is not None
    assert example.audiohook is not None
    text = (ROOT / "docs" / "siprec.md").read_text()
    (tmp_path / "shown.toml").write_text(text.partition("```toml\n")[2].partition("```")[0])
    shown = Settings.load(tmp_path / "shown.toml")
    assert shown.siprec is not None
    assert (shown.siprec.host, shown.rtp.host) == ("192.0.2.10", "192.0.2.10")
    named = set(re.findall(r"siprec\.([a-z_]+)", text)) - {"md", "toml"}
    assert named <= {field.name for field in dataclasses.fields(SiprecSettings)}


def children(process: subprocess.Popen[str]) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    """Whether it is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


@linux
def test_when_the_listeners_die_their_calls_end_and_others_come_on_the_same_port() -> None:
    with serving("--json", *QUICK) as (process, port):

        async def then(_: Client) -> None:
            (listeners,) = children(process)
            os.kill(listeners, signal.SIGKILL)
            async with asyncio.timeout(20):
                while True:  # nobody listens for a moment: what UDP loses is sent again
                    with suppress(OSError, TimeoutError):
                        async with client(port, "TCP", call="2@client") as other:
                            async with asyncio.timeout(5):
                                await other.invite()
                                assert (await other.ask("BYE")).status == 200
                        break
                    await asyncio.sleep(0.05)
            assert children(process) != [listeners]
            process.send_signal(signal.SIGTERM)

        calling(port, then)
        call = "hVpd7YQgRW2nD22h7q60JQ=="
        assert ends(process) == [(call, "error: the listeners' process died (code -9)"), (f"{call}-2", "end")]


@linux
def test_no_listener_stays_when_the_process_is_killed() -> None:
    with serving() as (process, port):
        (listeners,) = children(process)
        process.kill()
        process.wait(10)
        until_s = time.monotonic() + 20
        while is_running(listeners):
            assert time.monotonic() < until_s
            time.sleep(0.02)
        socket.create_server(("127.0.0.1", port)).close()
