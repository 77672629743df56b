"""wscat, a client that nobody here wrote, against a real service, with the command lines of docs/contract.md."""

import asyncio
import json
import os
import pty
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.broadcasting import TOKENS, broadcasting, ended, on_a_loop, raised, reading, started

ROOT = Path(__file__).parents[2]
WSCAT = ROOT / ".venv/npm/node_modules/.bin/wscat"
PATIENCE_S = 20.0


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
        async with wscat("-c", f"{broadcaster.address}/a", "-H", f"Authorization: Bearer {token}") as peer:
            assert (await peer.message())["type"] == "hello"
            assert (await peer.message())["type"] == "call_started"
            broadcaster.publish(reading(2))
            broadcaster.publish(raised(3))
            assert [(await peer.message())["seq"] for _ in range(2)] == [2, 3]
            peer.type('{"type": "acknowledge", "call": "a", "alert": "a:1"}')
            acknowledged = await peer.message()
            assert (acknowledged["type"], acknowledged["by"]) == ("alert_acknowledged", "Kim")
            broadcaster.publish(ended(1002))
            assert (await peer.message())["type"] == "call_ended"
            assert await peer.rest() == ""
            assert peer.process.returncode == 0


@on_a_loop
async def test_it_comes_in_as_a_browser_does_and_goes_on_after_a_cut() -> None:
    token = TOKENS.make(["calls:*"], 1)
    async with broadcasting(tokens=TOKENS) as broadcaster:
        for message in (started(), reading(2), reading(3)):
            broadcaster.publish(message)
        address = f"{broadcaster.address}?after={broadcaster.epoch}"
        resume = '{"type": "resume", "after": {"a": 2}}'
        async with wscat("-c", address, "-s", "callmood.v1", "-s", f"bearer.{token}", "-x", resume, "-w", "-1") as peer:
            assert (await peer.message())["after"] == {"a": 3}
            assert (await peer.message())["seq"] == 3


@on_a_loop
async def test_a_wrong_token_is_a_401_and_for_a_browser_a_4401() -> None:
    async with broadcasting(tokens=TOKENS) as broadcaster:
        async with wscat("-c", broadcaster.address, "-H", "Authorization: Bearer wrong") as peer:
            assert "error: Unexpected server response: 401" in await peer.rest()
        ours, theirs = pty.openpty()  # only to a terminal it says why it was closed
        offered = ("-s", "callmood.v1", "-s", "bearer.wrong")
        async with wscat("-c", broadcaster.address, *offered, stdout=theirs) as peer:
            await asyncio.wait_for(peer.process.wait(), PATIENCE_S)
        text = os.read(ours, 4096).decode()
        os.close(ours)
        os.close(theirs)
        assert 'Disconnected (code: 4401, reason: "the token has no form of a JSON Web Token")' in text
        assert broadcaster.counters.refused["token"] == 2
