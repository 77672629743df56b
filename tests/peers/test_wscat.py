"""wscat, a client that nobody here wrote, against a real service, with the command lines of docs/contract.md."""

import asyncio
import json
import os
import pty
import re
import shlex
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.broadcasting import TOKENS, broadcasting, ended, on_a_loop, raised, reading, started
from tests.test_access import make_certificate

ROOT = Path(__file__).parents[2]
WSCAT = ROOT / ".venv/npm/node_modules/.bin/wscat"
PATIENCE_S = 20.0
CONTRACT = (ROOT / "docs/contract.md").read_text("utf-8")
SERVER = "ws://127.0.0.1:8765/v1/calls"
"""As the contract's command lines name it."""
BY_HEADER = f"wscat -c {SERVER} -H"
BY_SUBPROTOCOL = f"wscat -c {SERVER} -s"
TRUSTING = "wscat -c wss://"
RESUMING = f'wscat -c "{SERVER}?after='


def command(beginning: str, **others: str) -> list[str]:
    """The arguments of the contract's command line that begins so, `others` in place of what it names."""
    (line,) = [line for line in CONTRACT.splitlines() if line.startswith(beginning)]
    text = re.split(r" {3,}", line)[0]  # what follows explains it
    values = {PLACES[place]: other for place, other in others.items()}
    assert all(name in text for name in values), f"{[*values]} are not all in {text}"
    return shlex.split(re.sub("|".join(map(re.escape, values)), lambda name: values[name[0]], text))[1:]


PLACES = {
    "server": SERVER,
    "agent": "wss://mood.bank.example:8765/v1/agents/4711",
    "token": "$TOKEN",
    "authority": "ca.pem",
    "epoch": "EPOCH",
    "seq": "83",
    "page": "http://127.0.0.1:8765/v1/calls",
}


class Wscat:
    """One run of it; what is typed into it is sent, what comes is printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def message(self) -> dict[str, Any]:
        """The next message that it prints."""
        assert self.process.stdout is not None
        while (line := await asyncio.wait_for(self.process.stdout.readline(), PATIENCE_S)).strip() in (b"", b">"):
            assert line, "it ended"
        text = line.decode()
        message: dict[str, Any] = json.loads(text[text.index("{") :])
        return message

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() + b"\n")

    async def rest(self) -> str:
        """Everything that it still prints, to its end."""
        assert self.process.stdout is not None
        text = (await asyncio.wait_for(self.process.stdout.read(), PATIENCE_S)).decode()
        await self.process.wait()
        return text


@asynccontextmanager
async def wscat(*arguments: str, stdout: int = asyncio.subprocess.PIPE) -> AsyncIterator[Wscat]:
    if not WSCAT.exists() or not shutil.which("node"):
        text = "wscat is missing: make .venv/npm (needs nodejs and npm)"
        pytest.fail(text) if os.environ.get("CI") == "true" else pytest.skip(text)
    process = await asyncio.create_subprocess_exec(
        *(str(WSCAT), "--no-color", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=stdout,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Wscat(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@on_a_loop
async def test_it_hears_a_call_from_hello_to_its_end_and_acknowledges_an_alert() -> None:
    token = TOKENS.make(["call:a", "acknowledge"], 1, "Kim")
    async with broadcasting(tokens=TOKENS) as broadcaster:
        broadcaster.publish(started())
        async with wscat(*command(BY_HEADER, server=f"{broadcaster.address}/a", token=token)) as peer:
            assert (await peer.message())["type"] == "hello"
            assert (await peer.message())["type"] == "call_started"
            broadcaster.publish(reading(2))
            broadcaster.publish(raised(3))
            assert [(await peer.message())["seq"] for _ in range(2)] == [2, 3]
            typed = '{"type":"acknowledge","call":"a","alert":"a:1","by":"Kim"}'
            assert f"A line that you type is sent: `{typed}`" in CONTRACT
            peer.type(typed)
            acknowledged = await peer.message()
            assert (acknowledged["type"], acknowledged["by"]) == ("alert_acknowledged", "Kim")
            broadcaster.publish(ended(1002))
            assert (await peer.message())["type"] == "call_ended"
            assert await peer.rest() == ""
            assert peer.process.returncode == 0


@on_a_loop
async def test_it_hears_an_agent_over_tls_with_the_authority_that_it_is_given(tmp_path: Path) -> None:
    files = make_certificate(tmp_path)
    token = TOKENS.make(["agent:4711"], 1)
    async with broadcasting(tokens=TOKENS, show_identities=True, **files) as broadcaster:
        broadcaster.publish(started("a", "4711"))
        address = broadcaster.address.replace("/v1/calls", "/v1/agents/4711")
        line = command(TRUSTING, agent=address, authority=files["tls_certificate"], token=token)
        async with wscat(*line) as peer:
            assert (await peer.message())["type"] == "hello"
            assert (await peer.message())["agent"] == "4711"


@on_a_loop
async def test_it_comes_in_as_a_browser_does() -> None:
    async with broadcasting(tokens=TOKENS) as broadcaster:
        line = command(BY_SUBPROTOCOL, server=broadcaster.address, token=TOKENS.make(["calls:*"], 1))
        async with wscat(*line) as peer:
            assert (await peer.message())["type"] == "hello"


@on_a_loop
async def test_it_goes_on_after_a_cut() -> None:
    token = TOKENS.make(["calls:*"], 1)
    async with broadcasting(tokens=TOKENS) as broadcaster:
        for message in (started(), reading(2), reading(3)):
            broadcaster.publish(message)
        line = command(RESUMING, server=broadcaster.address, epoch=broadcaster.epoch, seq="2", token=token)
        async with wscat(*line) as peer:
            assert (await peer.message())["after"] == {"a": 3}
            assert (await peer.message())["seq"] == 3


@on_a_loop
async def test_a_wrong_token_is_a_401_and_for_a_browser_a_4401() -> None:
    async with broadcasting(tokens=TOKENS) as broadcaster:
        async with wscat(*command(BY_HEADER, server=broadcaster.address, token="wrong")) as peer:
            assert "error: Unexpected server response: 401" in await peer.rest()
        ours, theirs = pty.openpty()  # only to a terminal it says why it was closed
        line = command(BY_SUBPROTOCOL, server=broadcaster.address, token="wrong")
        async with wscat(*line, stdout=theirs) as peer:
            await asyncio.wait_for(peer.process.wait(), PATIENCE_S)
        text = os.read(ours, 4096).decode()
        os.close(ours)
        os.close(theirs)
        assert 'Disconnected (code: 4401, reason: "the token has no form of a JSON Web Token")' in text
        assert broadcaster.counters.refused["token"] == 2


@on_a_loop
async def test_curl_shows_why_a_token_is_refused() -> None:
    if not shutil.which("curl"):
        text = "curl is missing: apt-get install curl"
        pytest.fail(text) if os.environ.get("CI") == "true" else pytest.skip(text)
    async with broadcasting(tokens=TOKENS) as broadcaster:
        line = command("curl -i", page=broadcaster.address.replace("ws:", "http:"), token="wrong")
        process = await asyncio.create_subprocess_exec(
            "curl", "--silent", *line, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        answer = (await asyncio.wait_for(process.communicate(), PATIENCE_S))[0].decode()
    assert answer.startswith("HTTP/1.1 401")
    assert answer.endswith("\nthe token has no form of a JSON Web Token\n")
