import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

MONITOR = Path(__file__).parents[1] / "monitor"
LEFT_TO_RIGHT = [
    {"errors", "identities", "messages", "settings.fields", "bearer", "position", "waits", "replacement", "steady"},
    {"log_records", "child_process", "allocator"},
    {"settings.tables"},
    {"settings"},
    {"subscription"},
    {"tokens"},
    {"access"},
    {"audio"},
    {"concealment", "features", "speech"},
    {"cells"},
    {"gathering"},
    {"sources", "sources.audiofile"},
    {
        "windows",
        "sources.recording",
        "sources.microphone",
        "sources.codecs",
        "sources.allowlist",
        "sources.rtp_packet",
        "sources.frames",
        "sources.ports",
        "sources.rtp_ports",
        "sources.wakefulness",
    },
    {"sources.datagrams"},
    {"sources.jitter", "sources.latch", "sources.outbox", "sources.datagram_reader"},
    {"sources.block_writer"},
    {"sources.playout"},
    {"sources.rtp_party"},
    {"sources.rtp", "sources.capture"},
    {"sources.pcap"},
    {"sources.sip", "sources.sip_framing", "sources.sdp", "sources.recording_metadata", "sources.complaints"},
    {"sources.sip_body", "sources.sip_transactions", "sources.siprec_parties"},
    {"sources.sip_dialog", "sources.sip_sockets", "sources.siprec_recording"},
    {"sources.siprec_session"},
    {"sources.siprec"},
    {"sources.credentials", "sources.switchboard"},
    {"sources.streams"},
    {"sources.stream_connection", "sources.twilio_messages", "sources.twilio_order", "sources.twilio_signature"},
    {"sources.one_party", "sources.asterisk_messages", "sources.audiosocket_frames"},
    {"sources.audiosocket_parties"},
    {"sources.audiosocket_session"},
    {"sources.audiosocket_connection"},
    {"sources.audiohook_messages", "sources.audiohook_signature"},
    {"sources.stream_listener", "sources.twilio", "sources.audiohook", "sources.asterisk", "sources.audiosocket"},
    {"sources.listeners"},
    {"model"},
    {"readings"},
    {"alerts", "alerts.rules"},
    {"alerts.watches", "alerts.rulefile", "alerts.stretches"},
    {"alerts.trial", "alerts.lines"},
    {"bus", "busyness"},
    {"calls", "scoring"},
    {"pipeline"},
    {"playback"},
    {"workers"},
    {"board", "course", "followed", "snapshot", "recent", "backlog", "page", "schema", "desktop", "audit"},
    {"history", "history.packing", "interruption", "history.database", "history.period"},
    {"history.retrieval"},
    {"history.ledger", "history.archive"},
    {"history.erasure", "history.export"},
    {"history.writer", "history.lasting_key"},
    {"memory"},
    {"history.earlier"},
    {"address", "asyncapi"},
    {"contract"},
    {"refusals"},
    {"greeting", "subscriber"},
    {"handshake", "client"},
    {"webhooks", "webhooks.body", "webhooks.endpoints", "webhooks.files"},
    {"webhooks.post", "webhooks.queue"},
    {"webhooks.lane"},
    {"webhooks.service"},
    {"conversation", "metrics"},
    {"broadcast", "dashboard.sample", "dashboard.keys", "dashboard.looks", "plain", "alerts.verdicts"},
    {"dashboard.keyboard", "dashboard.frame", "dashboard.view"},
    {"dashboard.rows", "dashboard.terminal"},
    {"dashboard.chart", "dashboard.guide", "dashboard.header"},
    {"dashboard.detail"},
    {"dashboard.screen"},
    {"dashboard", "dashboard.pictures"},
    {"dashboard.__main__"},
    {"report", "report.facts", "report.palette", "report.svg", "report.span", "report.files", "report.sound"},
    {"report.timeline", "report.inputs"},
    {"report.words"},
    {"report.chart"},
    {"report.markup", "report.day"},
    {"report.call_page", "report.hours"},
    {"report.day_page", "report.drawing"},
    {"report.poster"},
    {
        "bench",
        "bench.voices",
        "watchdog",
        "listeners_process",
        "scorer_process",
        "lateness",
        "watch",
        "history.listing",
    },
    {"apart", "scorer"},
    {"scorers"},
    {"bench.load", "bench.stages", "listening", "service_thread"},
    {"bench.rivals"},
    {"app"},
    {"cli.console", "cli.options"},
    {"cli.running", "cli.inspecting", "cli.alerts", "cli.history", "cli.report", "cli.webhooks"},
    {"cli"},
    {"cli.__main__"},
]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(MONITOR).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """Modules of monitor that a file imports, without the package's name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "monitor":
            inner = node.module.split(".", 1)[1:]
            found |= {*inner, ".".join(inner)} if inner else {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", sorted(MONITOR.rglob("*.py")), ids=module_name)
def test_imports_go_left_only(path: Path) -> None:
    column = {name: number for number, names in enumerate(LEFT_TO_RIGHT) for name in names}
    here = module_name(path)
    if here in ("", "__init__"):
        return
    assert here in column, f"{here} has no place in the picture: give it one"
    right = {name for name in imported(path) if name in column and column[name] > column[here]}
    assert right == set()


def test_nothing_heavy_comes_with_the_command_line() -> None:
    heavy = ["tensorflow", "librosa", "numba", "matplotlib", "sounddevice", "scipy", "keras", "pydantic"]
    others = ["asyncio", "websockets", "sqlite3", "rich", "httpx", "jinja2", "jwt"]  # imported where a run has them
    code = f"import sys, monitor.cli, monitor.app; print(sorted(set({heavy + others!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


_EACH_FIRST = """
import os, sys
import httpx, jinja2, msgspec, numpy, onnxruntime, rich.console, typer, websockets  # once, for all children
for name in sys.argv[1:]:
    if not (child := os.fork()):
        try:
            __import__(name)
        except BaseException as fault:
            print(f"{name}: {fault}", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_every_module_can_be_the_first_that_is_imported() -> None:
    names = [f"monitor.{module_name(path)}" for path in sorted(MONITOR.rglob("*.py")) if path.stem[:2] != "__"]
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _EACH_FIRST, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_monitor_never_imports_train() -> None:
    for path in MONITOR.rglob("*.py"):
        assert not re.search(r"^\s*(from|import) train\b", path.read_text(), re.MULTILINE), path


def test_only_the_command_line_prints_and_exits() -> None:
    for path in MONITOR.rglob("*.py"):
        if "cli" not in path.relative_to(MONITOR).parts:
            calls = {
                node.func.id
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            assert not calls & {"print", "exit", "quit"}, path
