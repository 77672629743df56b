"""`callmood watch` and the example of the client as people run them: real processes against a real service."""

import asyncio
import json
import os
import pty
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from monitor.board import Board
from monitor.broadcast import Broadcaster
from monitor.client import Client, Lost
from monitor.messages import Error, Missed, decode, rfc3339
from monitor.snapshot import AlertView
from monitor.watch import Watch
from tests.board_messages import T0
from tests.broadcasting import AT, TOKENS, address_of, broadcasting, ended, hello, on_a_loop, raised, reading, started
from tests.test_cli import heed_interrupts

ROOT = Path(__file__).parents[1]
TO_THE_ALTERNATE_SCREEN, BACK, SHOW_CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


class Program:
    """A process whose two streams are read line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().rstrip("\n")

    async def error(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.readline()).decode().rstrip("\n")

    async def end(self, kind: signal.Signals | None = None) -> tuple[int | None, str, str]:
        """Exit code, and what was still printed, after `kind`."""
        if kind is not None:
            self.process.send_signal(kind)
        out, err = await self.process.communicate()
        return self.process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def running(*command: str, token: str = "") -> AsyncIterator[Program]:
    environment = {name: value for name, value in os.environ.items() if name != "CALLMOOD_TOKEN"}
    environment |= {"CALLMOOD_TOKEN": token} if token else {}
    pipes: dict[str, Any] = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, env=environment, preexec_fn=heed_interrupts, **pipes
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def watching(address: str, *options: str, token: str = "") -> Any:
    return running("-m", "monitor.cli", "watch", address, *options, token=token)


def server_of(broadcaster: Broadcaster) -> str:
    return broadcaster.page_address.rstrip("/")


@on_a_loop
async def test_without_a_terminal_it_prints_the_lines_of_replay_and_comes_back_after_a_restart() -> None:
    async with AsyncExitStack() as programs:
        async with broadcasting() as broadcaster:
            port, address = address_of(broadcaster)[1], broadcaster.address
            watch = await programs.enter_async_context(watching(server_of(broadcaster)))
            assert await watch.error() == f"callmood: connected to {address}"
            for message in (started(), reading(2), raised(3)):
                broadcaster.publish(message)
            assert [await watch.line() for _ in range(3)] == [
                " 0:00.00  a                 started: recording, agent (not scored), customer (scored)",
                " 0:04.00  a                 customer  neutral        80%  calm",
                " 0:12.00  a                 customer  ALERT sustained anger (critical), holds since 0:09",
            ]
        assert re.fullmatch(r"callmood: the server closed the connection; next try in 1 s", await watch.error())
        async with broadcasting(port=port) as broadcaster:
            assert await watch.error() == f"callmood: connected to {address}"
            assert (await watch.line()).startswith("missed some messages: the server was started anew")
            broadcaster.publish(started("b"))
            assert " b " in await watch.line()
            assert await watch.end(signal.SIGINT) == (0, "", "")


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
@on_a_loop
async def test_json_is_one_message_a_line_with_a_token_from_a_file(kind: signal.Signals, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKENS.make(["calls:*"], 1))
    async with (
        broadcasting(tokens=TOKENS) as broadcaster,
        watching(broadcaster.address, "--json", "--token-file", str(file)) as watch,
    ):
        assert json.loads(await watch.line())["type"] == "hello"
        broadcaster.publish(started())
        assert decode(await watch.line()) == started()
        code, out, err = await watch.end(kind)
    assert (code, out, err) == (0, "", f"callmood: connected to {broadcaster.address}\n")


@pytest.mark.parametrize("options", [[], ["--json"]])
@on_a_loop
async def test_a_reader_that_goes_away_ends_it_without_a_word(options: list[str]) -> None:
    async with broadcasting() as broadcaster, watching(broadcaster.address, *options) as watch:
        assert await watch.error() == f"callmood: connected to {broadcaster.address}"
        broadcaster.publish(started())
        await watch.line()
        watch.process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
        for seq in range(2, 2_000):
            broadcaster.publish(reading(seq))
            await asyncio.sleep(0.001)
            if watch.process.returncode is not None:
                break
        assert watch.process.returncode == 0
        assert watch.process.stderr is not None
        assert await watch.process.stderr.read() == b""


@on_a_loop
async def test_the_end_of_the_one_call_ends_it() -> None:
    async with broadcasting() as broadcaster:
        broadcaster.publish(started())
        async with watching(f"{server_of(broadcaster)}/v1/calls/a") as watch:
            await watch.line()
            broadcaster.publish(ended(2, shares={"customer": {"neutral": 1.0}}))
            code, out, _ = await watch.end()
    assert code == 0
    assert out.splitlines()[-2:] == ["a: calm, 0:09, end", "  customer: neutral 100%"]


@on_a_loop
async def test_what_is_refused_for_good_is_one_line_and_exit_code_2() -> None:
    async with broadcasting(tokens=TOKENS) as broadcaster:
        server = server_of(broadcaster)[7:]
        for address, token, text in (
            (broadcaster.address, "", f"{server} refuses: no token: send Authorization: Bearer TOKEN, or the subproto"),
            (broadcaster.address, "wrong", f"{server} refuses: the token has no form of a JSON Web Token"),
            ("127.0.0.1:8765", "", "'127.0.0.1:8765' is no address of a server: expected ws://HOST:PORT/v1/calls"),
        ):
            async with watching(address, token=token) as watch:
                code, out, err = await watch.end()
            assert err.startswith(f"callmood: {text}")
            assert (code, out, err.count("\n")) == (2, "", 1)


class Screen:
    """What a program draws on a pseudo-terminal of 100 by 30 cells."""

    def __init__(self, end: int) -> None:
        self._end = end
        self.written = ""

    async def shows(self, *texts: str) -> None:
        """Wait until each of `texts` is drawn after what was looked for last: only lines that change are drawn."""
        loop = asyncio.get_running_loop()
        seen = len(self.written)
        while not all(text in plain(self.written[seen:]) for text in texts):
            try:
                self.written += (await loop.run_in_executor(None, os.read, self._end, 65_536)).decode(errors="replace")
            except OSError:
                raise AssertionError(f"{texts} never came: {plain(self.written[seen:])[-3000:]}") from None

    async def rest(self) -> None:
        """Read to the end."""
        try:
            while piece := await asyncio.get_running_loop().run_in_executor(None, os.read, self._end, 65_536):
                self.written += piece.decode(errors="replace")
        except OSError:
            pass


def plain(text: str) -> str:
    """Without colours and moves of the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@asynccontextmanager
async def on_a_terminal(address: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Screen]]:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "LINES": "30", "TERM": "xterm-256color"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "monitor.cli", "watch", address),
        cwd=ROOT,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=heed_interrupts,
    )
    os.close(theirs)
    try:
        yield process, Screen(ours)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        os.close(ours)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
@on_a_loop
async def test_the_dashboard_of_another_server_says_that_it_is_lost_and_forgets_the_calls_of_the_old_run(
    kind: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as programs:
        now_s = time.time() + 3_000  # the server's clock is far ahead
        at = rfc3339(now_s)
        monkeypatch.setattr("tests.broadcasting.hello", lambda: replace(hello(), at=at))
        async with broadcasting() as broadcaster:
            port, address = address_of(broadcaster)[1], broadcaster.address
            broadcaster.publish(replace(started("old"), at=at))
            process, screen = await programs.enter_async_context(on_a_terminal(address))
            await screen.shows("1 call ")
            broadcaster.publish(replace(reading(2, "old", mood="angry", label="anger"), at=at))
            await screen.shows("▲ angry")
            assert "waiting" not in plain(screen.written)
            assert "0 subscribers" not in plain(screen.written)
        await screen.shows("NOT CONNECTED: nothing below is current", "next try in", "╳ stopped")
        async with broadcasting(port=port) as broadcaster:
            await screen.shows("0 calls")
            seen = len(screen.written)
            broadcaster.publish(replace(started("new"), at=at))
            await screen.shows("1 call ", "new ")
            assert "old" not in plain(screen.written[seen:])
            process.send_signal(kind)
            await screen.rest()
            assert await process.wait() == 0
        assert screen.written.count(TO_THE_ALTERNATE_SCREEN) == screen.written.count(BACK) == 1
        assert screen.written.rindex(SHOW_CURSOR) > screen.written.rindex("new")


async def holds(condition: Callable[[], Any]) -> Any:
    """What `condition` says as soon as that is true."""
    while not (value := condition()):
        await asyncio.sleep(0.01)
    return value


def open_alerts(watch: Watch) -> list[AlertView]:
    return [alert for call in watch.board.snapshot(T0).calls for alert in call.alerts]


@on_a_loop
async def test_an_acknowledgement_goes_to_the_server_and_comes_back_to_every_watcher() -> None:
    async with broadcasting(tokens=TOKENS) as broadcaster:
        for message in (started(), reading(2), raised(3)):
            broadcaster.publish(message)
        tokens = [TOKENS.make(scopes, 1) for scopes in (["calls:*", "acknowledge"], ["calls:*"])]
        with (
            Watch(Client(broadcaster.address, tokens[0])) as maria,
            Watch(Client(broadcaster.address, tokens[1])) as other,
        ):
            for watch in (maria, other):
                await holds(lambda watch=watch: open_alerts(watch))
            other.acknowledge("a", open_alerts(other)[0].alert, "Kim")
            answer = await holds(lambda: other.health().answer)
            assert answer == "not acknowledged: the token lacks the scope acknowledge"
            assert other.board.snapshot(T0).fault_count == 0
            maria.acknowledge("a", open_alerts(maria)[0].alert, "Maria")
            for watch in (maria, other):
                await holds(lambda watch=watch: open_alerts(watch)[0].by == "Maria")
            maria.acknowledge("a", open_alerts(maria)[0].alert, "Maria")
            answer = await holds(lambda: maria.health().answer)
            assert answer.startswith("not acknowledged: alert 'a:1' is looked after already")


def test_what_cannot_be_acknowledged_is_told_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(Quiet)  # type: ignore[arg-type]
    watch.acknowledge("a", "a:1", "Maria")
    assert watch.health().answer == "not acknowledged: not connected: try again when the calls are back"
    monkeypatch.setattr("monitor.watch.ANSWER_S", 0.0)
    assert watch.health().answer == ""


def test_errors_that_are_no_answer_stay_the_nodes_own() -> None:
    watch = Watch(Quiet)  # type: ignore[arg-type]
    watch._take(Error(at=AT, code="access", text="of somebody else"))
    watch._asked.add(("a", "a:1"))
    watch._take(Error(at=AT, code="audio", text="x.wav: no samples"))
    assert watch.board.snapshot(T0).fault_count == 2
    watch._take(Error(at=AT, code="request", text="no alert is open"))
    assert (watch.board.snapshot(T0).fault_count, watch._asked) == (2, set())
    assert watch.health().answer == "not acknowledged: no alert is open"


class Quiet:
    """A client's place that says nothing."""

    class address:  # noqa: N801
        url, call = "ws://x/v1/calls", None


def test_nonsense_from_another_machine_is_not_shown_and_hurts_nothing() -> None:
    watch = Watch(Quiet)  # type: ignore[arg-type]
    assert watch.health().away == "connecting to ws://x/v1/calls"
    watch._take(replace(hello(), at="yesterday"))
    watch._take(replace(started(), at="soon"))
    watch._take(reading(2, scores={"anger": 1.0}))
    watch._take(Lost("the connection broke", 4.2))
    assert watch.health().away == "the connection broke; next try in 4 s"


def test_a_call_of_which_nobody_knows_what_was_missed_is_no_longer_shown() -> None:
    board = Board()
    for call in ("a", "b"):
        board.receive(started(call))
    board.receive(Missed(at=AT, count=3, reason="slow", call="a"))
    assert len(board.snapshot(T0).calls) == 2
    board.receive(Missed(at=AT, count=0, reason="forgotten", call="a"))
    assert [call.name for call in board.snapshot(T0).calls] == ["b"]
    board.receive(Missed(at=AT, count=0, reason="restarted"))
    assert board.snapshot(T0).calls == ()
    assert board.snapshot(T0).missed == 3


@on_a_loop
async def test_the_example_prints_changes_and_alerts_and_comes_back_after_a_restart() -> None:
    async with AsyncExitStack() as programs:
        example = str(ROOT / "examples" / "agent_desktop.py")
        token = TOKENS.make(["agent:4711"], 1)
        options: dict[str, Any] = {"tokens": TOKENS, "show_identities": True}
        async with broadcasting(**options) as broadcaster:
            server, port = server_of(broadcaster), address_of(broadcaster)[1]
            connected = f"connected to ws{server[4:]}/v1/agents/4711"
            script = await programs.enter_async_context(running(example, server, "--agent", "4711", token=token))
            assert await script.line() == connected
            call = "\x1b[2Ja"
            quiet = {"party": "agent", "mood": None, "state": "not_scored", "label": None}
            for message in (
                started(call, "4711"),
                *(reading(seq, call) for seq in (2, 3)),
                reading(4, call, **quiet),
                reading(5, call, mood="angry", label="anger"),
                raised(6, call),
                ended(7, call),
            ):
                broadcaster.publish(message)
            assert [(await script.line()).split() for _ in range(4)] == [
                ["?[2Ja", "calm", "neutral"],
                ["?[2Ja", "angry", "anger"],
                ["?[2Ja", "ALERT_RAISED", "sustained_anger"],
                ["?[2Ja", "ended,", "calm"],
            ]
        assert await script.line() == "the server closed the connection; next try in 1 s"
        async with broadcasting(port=port, **options):
            assert await script.line() == connected
            assert (await script.end(signal.SIGINT))[0] == 0
        async with running(example, "nowhere") as script:
            code, _, err = await script.end()
        assert (code, err) == (
            1,
            "'nowhere' is no address of a server: expected ws://HOST:PORT/v1/calls, or wss:// with TLS\n",
        )
