"""`callmood calls`, `export` and `forget` as people run them."""

import csv
import io
import json
import os
import pty
import re
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from websockets.sync.client import connect

from monitor import cli
from monitor.app import Node
from monitor.cli.running import _history
from monitor.errors import HistoryError
from monitor.history.archive import Archive
from monitor.history.export import safe
from monitor.history.lasting_key import key_path, lasting_key
from monitor.identities import Identities
from monitor.messages import AlertAcknowledged, CallEnded, CallKey, decode, unix_ms
from monitor.model import EmotionModel
from monitor.settings import Settings, WebhookSettings
from monitor.sources import BlockQueue, CallClosed, CallOpened
from monitor.webhooks.body import Notice
from monitor.webhooks.endpoints import Endpoint
from monitor.webhooks.files import queue_path
from monitor.webhooks.queue import open_queue
from tests.broadcasting import ended, started
from tests.stored import BEGAN_S, a_call, until, write, writing
from tests.test_app import Telephone
from tests.test_app import until as message_of
from tests.test_pipeline import AngryModel
from tests.test_pipeline import model as model  # a fixture

ROOT = Path(__file__).parents[1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.db"


@pytest.fixture
def callmood(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command on the history at `path`; returns its exit code and its two streams."""

    def run(*arguments: str) -> tuple[Any, str, str]:
        command, *rest = arguments
        monkeypatch.setattr(sys, "argv", ["callmood", command, "--set", f"history.file={path}", *rest])
        monkeypatch.setattr(cli, "_configure_logging", lambda: None)
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return end.value.code, said.out, said.err

    return run


def test_calls_are_listed_the_last_first(path: Path, callmood: Any) -> None:
    write(path, [*a_call("a\x1b[2J", agent="id-1"), *a_call("b", began_s=BEGAN_S + 60, whole=False)])
    code, output, _ = callmood("calls")
    lines = [re.split(r"  +", line) for line in output.splitlines()]
    assert code == 0
    assert lines[0] == ["id", "call", "began", "duration", "agent", "outcome", "alerts", "state"]
    assert [line[1] for line in lines[1:]] == ["b", "a�[2J"]
    assert callmood("calls", "--outcome", "unclear")[1].count("interrupted") == 1
    assert lines[1][3:] == ["0:07", "unclear", "1 (sustained anger)", "interrupted"]
    assert lines[2][3:] == ["0:04", "id-1", "angry", "1 (sustained anger)", "ended"]


def test_a_long_name_is_cut_in_the_middle_with_a_mark(path: Path, callmood: Any) -> None:
    names = ["CA" + "0" * 31 + "1", "x" * 40, "begin" + "x" * 31 + "end12"]
    write(path, [message for name in names for message in a_call(name)])
    shown = [line.split()[1] for line in callmood("calls")[1].splitlines()[1:]]
    assert sorted(shown) == sorted([*names[:2], "begin" + "x" * 15 + "…" + "x" * 14 + "end12"])


def test_calls_are_json_for_programs(path: Path, callmood: Any) -> None:
    write(path, a_call("a"))
    code, output, _ = callmood("calls", "--json")
    call = json.loads(output)
    with Archive(path) as archive:
        (stored,) = archive.calls()
    assert code == 0
    assert (call["id"], call["call"], call["started_at"]) == (stored.id, "a", "2026-09-21T14:13:20.250Z")
    assert (call["ended_at"], call["rules"], call["outcome"]) == (
        "2026-09-21T14:13:23.500Z",
        ["sustained_anger"],
        "angry",
    )


def test_calls_are_filtered_and_what_is_left_out_is_said(path: Path, callmood: Any) -> None:
    key = lasting_key(path)
    theirs = Identities(False, key).shown("4711")
    write(path, [started("calm", theirs), ended(2, "calm"), *a_call("one"), *a_call("two", began_s=BEGAN_S + 60)])

    def found(*options: str) -> list[str]:
        code, output, _ = callmood("calls", "--json", *options)
        assert code == 0
        return [json.loads(line)["call"] for line in output.splitlines()]

    assert found("--outcome", "unclear") == []
    assert found() == ["two", "one", "calm"]
    assert found("--outcome", "calm") == found("--agent", "4711") == found("--agent", theirs) == ["calm"]
    assert found("--alert", "sustained_anger", "--until", "2026-09-21T14:14Z") == ["one"]
    assert found("--since", "2026-09-21T14:14Z") == ["two"]
    assert callmood("calls", "--limit", "1")[2] == "callmood: there are more: see --since, --until and --limit 2\n"
    assert len(found("--limit", "0")) == 3


def test_an_export_is_every_message_with_the_id_of_its_call(path: Path, callmood: Any) -> None:
    write(path, [*a_call("a"), *a_call("b", began_s=BEGAN_S + 60)])
    code, output, _ = callmood("export", "a", "--format", "json")
    assert code == 0
    objects = [json.loads(line) for line in output.splitlines()]
    with Archive(path) as archive:
        assert {one.pop("id") for one in objects} == {archive.call("a").id}
    assert [decode(json.dumps(one)) for one in objects] == a_call("a")
    _, output, _ = callmood("export", "--since", "2026-09-21", "--format", "json")
    assert [json.loads(line)["call"] for line in output.splitlines()] == ["a"] * 14 + ["b"] * 14, "in order of time"


def test_a_csv_that_a_spreadsheet_opens_runs_nothing(path: Path, callmood: Any, tmp_path: Path) -> None:
    told = [
        replace(message, by="@SUM(A1)") if isinstance(message, AlertAcknowledged) else message
        for message in a_call("=cmd|'/C calc'!A0", agent="+49 30 1")
    ]
    told[-1] = replace(told[-1], reason='\tx, "y"\nz')  # type: ignore[call-arg]
    write(path, told)
    out = tmp_path / "calls.csv"
    assert callmood("export", "--since", "2026-09-21", "--out", str(out)) == (0, "", "")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    rows = list(csv.DictReader(io.StringIO(out.read_text(), newline="")))
    assert [int(row["seq"]) for row in rows] == list(range(1, 15))
    assert {row["call"] for row in rows} == {"'=cmd|'/C calc'!A0"}
    assert (rows[0]["agent"], rows[10]["by"], rows[-1]["reason"]) == ("'+49 30 1", "'@SUM(A1)", '\'\tx, "y"\nz')
    assert (rows[1]["level_db"], rows[1]["anger"], rows[9]["evidence"]) == ("-30.0", "0.5", "3"), "numbers stay numbers"
    assert [safe(text) for text in ("-1", "\r1", "a=1", "", "1")] == ["'-1", "'\r1", "a=1", "", "1"]


def test_an_export_takes_the_place_of_a_file_when_it_is_whole_and_not_before(
    path: Path, callmood: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, a_call("a"))
    out = tmp_path / "exports" / "calls.csv"
    out.parent.mkdir()
    out.write_text("of yesterday")
    out.chmod(0o644)
    with monkeypatch.context() as broken:
        broken.setattr(Archive, "messages_of", lambda *_: (_ for _ in ()).throw(HistoryError("damaged")))
        assert callmood("export", "a", "--out", str(out)) == (2, "", "callmood: damaged\n")
    assert (out.read_text(), list(out.parent.iterdir())) == ("of yesterday", [out])
    assert callmood("export", "a", "--out", str(out))[0] == 0
    assert out.read_text().count("\n") == 15
    assert (stat.S_IMODE(out.stat().st_mode), list(out.parent.iterdir())) == (0o600, [out])


def test_an_export_goes_into_a_pipe_that_is_named(path: Path, callmood: Any, tmp_path: Path) -> None:
    write(path, a_call("a"))
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    assert callmood("export", "a", "--out", str(tmp_path / "pipe"))[0] == 0
    reader.join(20)
    assert read[0].count("\n") == 15


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("calls", "--since", "soon"), "--since 'soon' is no moment"),
        (
            ("calls", "--outcome", "glad"),
            "--outcome must be one of angry, dissatisfied, satisfied, calm, unclear, got 'glad'",
        ),
        (("export",), "name one CALL, or --since and --until"),
        (("export", "a", "--since", "2h"), "name one CALL, or --since and --until"),
        (("export", "a", "--format", "xml"), "--format must be csv or json, got 'xml'"),
        (("export", "nobody"), "no call 'nobody' is in"),
        (
            ("export", "a", "--out", "/nowhere/x.csv"),
            "/nowhere/x.csv: cannot write the export: No such file or directory",
        ),
        (("forget",), "name one CALL, or --before WHEN"),
        (("forget", "nobody"), "no call 'nobody' is in"),
        (("forget", ""), "CALL is empty, expected an id or a name, or --before WHEN: `callmood calls` lists"),
        (("forget", " "), "CALL is empty"),
        (("forget", "", "--before", "2030-01-01"), "CALL is empty"),
        (("export", ""), "CALL is empty, expected an id or a name, or --since and --until: `callmood calls` lists"),
        (("export", "\t"), "CALL is empty"),
    ],
)
def test_what_cannot_be_is_one_line_and_code_2(
    path: Path, callmood: Any, arguments: tuple[str, ...], text: str
) -> None:
    write(path, a_call("a"))
    code, output, errors = callmood(*arguments)
    assert (code, output) == (2, "")
    assert errors.startswith(f"callmood: {text}")
    assert errors.count("\n") == 1
    assert states(path) == {"a": "ended"}, "nothing is deleted"


def test_forgetting_is_noted_without_a_word_of_the_call(path: Path, callmood: Any, tmp_path: Path) -> None:
    write(path, [*a_call("mark-one"), *a_call("two", began_s=BEGAN_S + 60)])
    log = tmp_path / "audit.jsonl"
    assert callmood("forget", "mark-one", "--set", f"audit_log={log}") == (0, "forgotten: 1 call\n", "")
    assert callmood("forget", "--before", "2026-12-01", "--set", f"audit_log={log}")[1] == "forgotten: 1 call\n"
    notes = [json.loads(line) for line in log.read_text().splitlines()]
    assert [{name: note[name] for name in note if name != "at"} for note in notes] == [
        {"event": "forgotten", "calls": 1},
        {"event": "forgotten", "calls": 1, "before": "2026-12-01"},
    ]
    with Archive(path) as archive:
        assert archive.calls() == []
    assert callmood("forget", "--before", "2026-12-01", "--set", f"audit_log={log}")[2] == "", "nothing was forgotten"


def test_forgetting_says_where_no_audit_log_takes_note_of_it(
    path: Path, callmood: Any, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, a_call("mark-one"))
    with caplog.at_level("INFO", logger="monitor.audit"):
        assert callmood("forget", "mark-one") == (
            0,
            "forgotten: 1 call\n",
            "callmood: no audit_log is set: that something was forgotten stands in no file, only --verbose logs it\n",
        )
    assert json.loads(caplog.messages[-1])["calls"] == 1


def test_the_settings_the_sql_and_the_python_of_the_documentation_work(path: Path, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "history.md").read_text()
    blocks = {kind: text.partition(f"```{kind}\n")[2].partition("```")[0] for kind in ("toml", "sql", "python")}
    (tmp_path / "shown.toml").write_text(blocks["toml"])
    assert Settings.load(tmp_path / "shown.toml") == Settings()
    write(path, a_call("a"))
    database = sqlite3.connect(path)
    answers = [database.execute(query).fetchall() for query in blocks["sql"].split(";")[:2]]
    database.close()
    assert answers[0] == [("2026-09-21", "angry", 1)]
    assert answers[1][0][2] == "Kim"
    shown: dict[str, Any] = {}
    exec(blocks["python"].replace("history.db", str(path)), shown)
    assert shown["messages"] == a_call("a")


def test_forgetting_a_call_forgets_what_waits_to_be_posted_of_it_and_of_no_other_of_its_name(
    path: Path, callmood: Any
) -> None:
    waiting = queue_path(WebhookSettings())  # in the tests' state folder
    end = Endpoint(1, "https://crm.example.com/", (b"k" * 24,), "https://crm.example.com/…")
    write(path, [*a_call("mark"), *a_call("two")])
    with Archive(path) as archive:
        (first,) = (call for call in archive.calls() if call.call == "mark")
    with writing(path, "second") as history, closing(open_queue(waiting)) as queue:
        history.receive(a_call("mark", began_s=BEGAN_S + 60)[0])
        until(lambda: history.stored)
        keys = {"mark-first": first.key, "second": CallKey("mark", first.key.began_ms + 60_000), "two": None}
        queue.put([Notice(id_, "", key, "", "", id_.encode()) for id_, key in keys.items()], [end], BEGAN_S)
        assert callmood("forget", first.id)[:2] == (0, "forgotten: 1 call\n")
        assert [one.id for one in queue.all()] == ["second", "two"]
        assert b"mark-first" not in waiting.read_bytes()
    assert set(states(path)) == {"mark", "two"}


def test_a_node_that_forgets_a_call_keeps_what_is_of_a_later_one_of_its_name(path: Path, model: EmotionModel) -> None:
    node = Node(Settings(), model, [], history=path)
    first, second, third = (a_call("a", began_s=BEGAN_S + 60 * number) for number in range(3))
    for message in (*first, *second, *third[:-1]):
        node._bus.publish(message)
    node._forget([CallKey("a", unix_ms(first[0].at))])
    assert node.ended == [second[-1]]
    assert node.alerts == [second[9], third[9]]
    node._forget([CallKey("a", unix_ms(second[0].at))])
    assert (node.ended, node.alerts) == ([], [third[9]])
    assert [call.name for call in node.board.snapshot(BEGAN_S + 130).calls] == ["a"]


def test_a_large_export_shows_how_far_it_is(path: Path) -> None:
    write(path, [message for number in range(20) for message in a_call(f"call-{number}", 40)])
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "monitor.cli", "export", "--since", "2026-09-21", "--set", f"history.file={path}"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    environment.pop("NO_COLOR", None)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=end, cwd=ROOT, env=environment, check=True)
    os.close(end)
    assert b"export" in os.read(terminal, 65_536)
    os.close(terminal)
    assert done.stdout.count(b"\n") == 1 + 20 * 46


class Line:
    """A source: calls that are told when to end."""

    def __init__(self, *names: str) -> None:
        self.over = {name: threading.Event() for name in names}

    def run(self, queue: BlockQueue, stop: threading.Event) -> None:
        for name in self.over:
            queue.put(CallOpened(name, "test", None, {"customer": 0}, agent="4711"))
        for name, over in self.over.items():
            while not (stop.is_set() or over.wait(0.01)):
                pass
            queue.put(CallClosed(name, "end"))


def test_a_running_node_forgets_what_is_forgotten(path: Path, model: EmotionModel, callmood: Any) -> None:
    line = Line("mark-call", "other")
    node = Node(Settings(port=0), AngryModel(model), [line], history=path)  # type: ignore[arg-type]
    address = node.serve().address
    with node, connect(address) as client:
        epoch = message_of(client, "hello")["epoch"]
        message_of(client, "call_started")
        until(lambda: states(path))
        code, _, errors = callmood("forget", "mark-call")
        assert (code, errors) == (2, "callmood: call 'mark-call' is running: forget it when it has ended\n")
        line.over["mark-call"].set()
        message_of(client, "call_ended")
        until(lambda: states(path)["mark-call"] == "ended")
        assert callmood("forget", "mark-call")[:2] == (0, "forgotten: 1 call\n")
        until(lambda: not node.ended)
        assert resumed(address, epoch) == {"other"}, "whoever comes back is not told of it"
        assert callmood("forget", "--before", "2030-01-01")[1:] == (
            "forgotten: 0 calls\n",
            "callmood: 1 more are running: forget them when they have ended\n",
        )


def resumed(address: str, epoch: str) -> set[str]:
    """The calls that somebody is told of who heard nothing of this run yet."""
    with connect(f"{address}?after={epoch}") as client:
        client.send('{"type":"resume","after":{}}')
        assert message_of(client, "hello")["after"] == {"other": 1}
        return {message_of(client, "call_started")["call"]}


def states(path: Path) -> dict[str, str]:
    with Archive(path) as archive:
        return {call.call: call.state for call in archive.calls()}


@pytest.fixture
def spoilt(path: Path) -> Path:
    path.parent.mkdir()
    path.write_bytes(b"no database" * 500)
    return path


def test_a_node_whose_history_fails_goes_on_and_says_so(spoilt: Path, model: EmotionModel) -> None:
    telephone = Telephone()
    node = Node(Settings(port=0, queue_s=60.0), AngryModel(model), [telephone], history=spoilt)  # type: ignore[arg-type]
    served = node.serve()
    with node, connect(served.address) as client:
        message_of(client, "alert_raised")
        assert "file is not a database; no history of callmood: move it away" in node.health().history
        assert node.health().unstored == 0
        metrics = served._ties.metrics().decode()
        assert "callmood_history_failing 1.0" in metrics
        assert "callmood_history_unstored_total 0.0" in metrics
        telephone.over.set()
        assert message_of(client, "call_ended")["outcome"] == "angry"
        told = len(node.ended)
    assert told == 1
    assert (node.health().unstored or 0) > 10


def test_a_nodes_history_holds_what_it_told_under_pseudonyms_that_last(path: Path, model: EmotionModel) -> None:
    agents = []
    for _ in range(2):
        heard: list[Any] = []
        telephone = Telephone()
        telephone.over.set()
        node = Node(Settings(queue_s=60.0), AngryModel(model), [telephone], [heard.append], path)  # type: ignore[arg-type]
        with node:
            assert node.finished.wait(20)
        with Archive(path) as archive:
            call = archive.calls()[0]
            assert archive.messages(call.id) == heard
        assert isinstance(heard[-1], CallEnded)
        assert (call.outcome, call.alerts, call.lost_s, call.model) == ("angry", 1, 0.5, "tiny 0")
        agents.append(call.agent)
    assert agents[0] == agents[1] == Identities(False, lasting_key(path)).shown("4711")
    assert stat.S_IMODE(key_path(path).stat().st_mode) == 0o600


def come_back(address: str, epoch: str, seq: int) -> list[str]:
    """What somebody is told, up to the second hello, who heard so much of call a in the run `epoch`."""
    with connect(f"{address}?after={epoch}") as client:
        client.send(json.dumps({"type": "resume", "after": {"a": seq}}))
        kinds = [decode(client.recv(timeout=20)) for _ in range(3)]
    return [f"{type(one).__name__} {getattr(one, 'epoch', '') == epoch}" for one in kinds]


def test_a_node_that_is_started_anew_tells_who_comes_back_what_was_missed(path: Path, model: EmotionModel) -> None:
    line = Line("a")
    first = Node(Settings(port=0), AngryModel(model), [line], history=path)  # type: ignore[arg-type]
    address = first.serve().address
    with first, connect(address) as client:
        epoch = message_of(client, "hello")["epoch"]
        assert message_of(client, "call_started")["seq"] == 1
    for show, expected in (
        (False, ["Hello True", "CallEnded False", "Hello False"]),
        (True, ["Hello False", "Missed False"]),
    ):
        settings = Settings(port=0, show_identities=show)
        second = Node(settings, AngryModel(model), [Line("b")], history=path)  # type: ignore[arg-type]
        address = second.serve().address
        with second:
            assert come_back(address, epoch, 1)[: len(expected)] == expected


def test_telephony_and_microphones_keep_a_history_and_what_only_plays_keeps_one_where_it_is_told_to(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    plain, named = Settings(), Settings.load(overrides=[f"history.file={path}"])
    off = Settings.load(overrides=[f"history.file={path}", "history.keep=false"])
    assert _history(plain, always=True) == Path("/var/state/callmood/history.db")
    assert _history(plain, always=False) is None
    assert [_history(named, always) for always in (True, False)] == [path, path]
    assert [_history(off, always) for always in (True, False)] == [None, None]
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/kim")
    assert _history(plain, always=True) == Path("/home/kim/.local/state/callmood/history.db")
