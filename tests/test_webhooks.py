"""The whole of the webhooks: from a message of the bus to a receiver, through failures, kills and a full disk."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import soundfile
from typer.testing import CliRunner

from monitor.app import Node
from monitor.cli import app
from monitor.errors import ServiceError, SettingError
from monitor.messages import AnyMessage
from monitor.model import EmotionModel
from monitor.settings import Settings, WebhookSettings
from monitor.webhooks.queue import Delivery, DeliveryQueue, open_queue
from monitor.webhooks.service import Webhooks
from tests.board_messages import ended, raised, reading
from tests.test_app import Telephone, metrics_of
from tests.test_cli import heed_interrupts
from tests.test_pipeline import AngryModel
from tests.test_pipeline import model as model  # a fixture
from tests.test_webhook_body import started
from tests.webhook_receivers import HALF, STALL, Receiver, receiving, secret_in, settings_for

ROOT = Path(__file__).parents[1]
RULES = ("sustained_anger",)


@pytest.fixture
def secret(tmp_path: Path) -> str:
    return secret_in(tmp_path)[1]


@contextmanager
def posting(settings: Settings) -> Iterator[Webhooks]:
    webhooks = Webhooks(settings, "tiny 0", RULES)
    webhooks.start()
    try:
        yield webhooks
    finally:
        webhooks.stop()


def alert(webhooks: Webhooks, *calls: str) -> None:
    for call in calls:
        for message in (started(call), reading(5.0, "anger", "angry", call=call), raised(8.0, call)):
            webhooks.receive(message)


def calls_of(receiver: Receiver, count: int) -> list[str]:
    return [receiver.next().event["data"]["call"]["name"] for _ in range(count)]


def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.005)


def on_disk(settings: Settings) -> list[Delivery]:
    assert settings.webhooks is not None
    queue = open_queue(Path(settings.webhooks.queue))
    found = queue.all()
    queue.close()
    return found


def test_an_alert_arrives_signed_and_nothing_is_kept_of_it(tmp_path: Path, secret: str) -> None:
    with receiving(secret) as receiver:
        settings = settings_for(tmp_path, receiver)
        with posting(settings) as webhooks:
            alert(webhooks, "one")
            got = receiver.next()
            eventually(lambda: webhooks.counts()[0].posted == 1, "posted")
        assert got.event["type"] == "alert.raised"
        assert got.event["data"]["heard"]["mood"] == "angry"
        assert abs(got.timestamp - time.time()) < 60
        assert on_disk(settings) == []
        assert webhooks.warnings() == ()


def test_a_failing_receiver_gets_the_same_id_again_and_order_is_kept(tmp_path: Path, secret: str) -> None:
    with receiving(secret, 500, 503, HALF, 204) as receiver:
        with posting(settings_for(tmp_path, receiver)) as webhooks:
            alert(webhooks, "one", "two", "three")
            got = [receiver.next() for _ in range(6)]
        assert [one.event["data"]["call"]["name"] for one in got] == [*["one"] * 4, "two", "three"]
        assert [len({one.id for one in part}) for part in (got[:4], got[4:])] == [1, 2]
        (counts,) = webhooks.counts()
        assert (counts.posted, counts.failed, counts.given_up, counts.waiting) == (3, 3, 0, 0)


def test_retry_after_is_waited_for(tmp_path: Path, secret: str) -> None:
    with (
        receiving(secret, (503, {"Retry-After": "1"}), 204) as receiver,
        posting(settings_for(tmp_path, receiver)) as webhooks,
    ):
        alert(webhooks, "one")
        first, second = receiver.next(), receiver.next()
        assert second.at_s - first.at_s >= 0.99
        assert second.id == first.id
        assert second.timestamp > first.timestamp - 1


def test_a_dead_and_a_stalled_receiver_cost_the_others_nothing(
    tmp_path: Path, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.webhooks.service.LAST_TRY_S", 0.3)
    with receiving(secret, STALL) as stalled, receiving(secret) as well, receiving(secret) as dead:
        dead.close()
        settings = settings_for(tmp_path, stalled, dead, well, timeout_s=60.0)
        with posting(settings) as webhooks:
            before_s = time.monotonic()
            alert(webhooks, *(f"call-{number}" for number in range(20)))
            handed_over_s = time.monotonic() - before_s
            assert calls_of(well, 20) == [f"call-{number}" for number in range(20)]
            assert handed_over_s < 1
            assert [counts.posted for counts in webhooks.counts()][:2] == [0, 0]
            eventually(lambda: bool(webhooks.warnings()), "told")
            assert re.fullmatch(
                r"webhook 2, http://127\.0\.0\.1:\d+/…: cannot connect: Connection refused \(.*\)",
                webhooks.warnings()[0],
            )
            before_s = time.monotonic()
        assert time.monotonic() - before_s < 3
        assert len(on_disk(settings)) == 40


def test_a_name_server_that_hangs_for_one_costs_the_others_nothing(
    tmp_path: Path, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.webhooks.service.LAST_TRY_S", 0.1)
    look_up, asked, over = socket.getaddrinfo, threading.Event(), threading.Event()

    def hanging(host: Any, *rest: Any, **more: Any) -> Any:
        if host in ("hangs.example", b"hangs.example"):
            asked.set()
            over.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    with receiving(secret) as lost, receiving(secret) as well:
        lost.url, well.url = "https://hangs.example/", well.url.replace("127.0.0.1", "localhost")
        try:
            with posting(settings_for(tmp_path, lost, well, timeout_s=0.1)) as webhooks:
                alert(webhooks, "one", "two", "three")
                assert asked.wait(20)
                assert calls_of(well, 3) == ["one", "two", "three"]
                eventually(lambda: webhooks.counts()[0].failed >= 3, "tried again, though each look-up still hangs")
        finally:
            over.set()


def test_a_clock_that_is_set_back_makes_no_endless_pause(tmp_path: Path, secret: str) -> None:
    with receiving(secret, (503, {"Retry-After": "3600"})) as receiver:
        settings = settings_for(tmp_path, receiver)
        with posting(settings) as webhooks:
            alert(webhooks, "one")
            first = receiver.next()
            eventually(lambda: webhooks.counts()[0].failed == 1, "failed")
        assert settings.webhooks is not None
        database = sqlite3.connect(settings.webhooks.queue, isolation_level=None)
        database.execute("UPDATE endpoints SET due_s = due_s + 400 * 86400")
        database.close()
        receiver.answer(204)
        with posting(settings):
            assert receiver.next().id == first.id


@pytest.mark.parametrize("status", [410, 302, 400])
def test_a_lasting_refusal_is_not_tried_again_but_listed(tmp_path: Path, secret: str, status: int) -> None:
    with receiving(secret, status, 204) as receiver:
        settings = settings_for(tmp_path, receiver)
        with posting(settings) as webhooks:
            alert(webhooks, "one", "two")
            eventually(lambda: sum(vars_of(webhooks)) == 2, "both settled")
        given_up = on_disk(settings)
        assert receiver.next().event["data"]["call"]["name"] == "one"
        if status == 410:  # it wants no more, and gets no more
            assert receiver.got.empty()
            assert [one.last for one in given_up] == ["410 Gone", "not tried: it answered 410 Gone before"]
        else:
            assert receiver.next().event["data"]["call"]["name"] == "two"
            assert [(one.call, one.state, one.tries) for one in given_up] == [("one", "given_up", 1)]


def vars_of(webhooks: Webhooks) -> tuple[int, int]:
    (counts,) = webhooks.counts()
    return counts.posted, counts.given_up


def test_after_the_last_retry_it_is_given_up_listed_and_can_be_retried(tmp_path: Path, secret: str) -> None:
    with receiving(secret, 500) as receiver:
        settings = settings_for(tmp_path, receiver, retries=2)
        with posting(settings) as webhooks:
            alert(webhooks, "one")
            eventually(lambda: vars_of(webhooks) == (0, 1), "given up")
            assert [receiver.next().id for _ in range(3)].count(given_up_id(settings)) == 3
            assert "500 Internal Server Error (0 wait, 1 given up)" in webhooks.warnings()[0]
            receiver.answer(204)
            assert settings.webhooks is not None
            queue = open_queue(Path(settings.webhooks.queue))
            assert queue.retry() == 1  # as another program would
            queue.close()
            assert receiver.next().id
            eventually(lambda: vars_of(webhooks) == (1, 1), "posted")
            assert webhooks.warnings() == ()


def given_up_id(settings: Settings) -> str:
    (one,) = on_disk(settings)
    assert (one.state, one.tries, one.last) == ("given_up", 3, "500 Internal Server Error")
    return one.id


def test_what_waits_at_the_end_is_posted_by_the_next_start_under_the_same_id(tmp_path: Path, secret: str) -> None:
    with receiving(secret, 503) as receiver:
        settings = settings_for(tmp_path, receiver, first_wait_s=0.3, longest_wait_s=0.3)
        with posting(settings) as webhooks:
            alert(webhooks, "one", "two")
            first = receiver.next()
        assert [one.call for one in on_disk(settings)] == ["one", "two"]
        receiver.answer(204)
        with posting(settings):
            again = [receiver.next(), receiver.next()]
        assert (again[0].id, len({one.id for one in again})) == (first.id, 2)
        assert on_disk(settings) == []


def test_a_stop_lets_the_last_alert_go(tmp_path: Path, secret: str) -> None:
    with receiving(secret) as receiver:
        settings = settings_for(tmp_path, receiver)
        with posting(settings) as webhooks:
            alert(webhooks, "one")
            webhooks.receive(ended(9.0, "one"))
        assert [receiver.next().event["type"] for _ in "ab"] == ["alert.raised", "alert.call_ended"]
        assert on_disk(settings) == []


KILLED = """
import sys, time
from pathlib import Path
from typing import Any
from monitor.settings import Settings
from monitor.webhooks.service import Webhooks
from tests.test_webhook_body import started
from tests.board_messages import raised
webhooks = Webhooks(Settings.load(Path(sys.argv[1])), "tiny 0", ())
webhooks.start()
for call in sys.argv[2:]:
    webhooks.receive(started(call))
    webhooks.receive(raised(8.0, call))
while webhooks._unstored or webhooks._storing:
    time.sleep(0.005)
print("stored", flush=True)
time.sleep(60)
"""


@contextmanager
def killed_at_the_end(settings_file: Path, *calls: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", KILLED, str(settings_file), *calls]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stored\n"
        try:
            yield process
        finally:
            process.kill()


def test_kill_9_loses_nothing_and_changes_no_id(tmp_path: Path, secret: str) -> None:
    with receiving(secret, 204, 503, STALL) as receiver:
        settings = settings_for(tmp_path, receiver, timeout_s=60.0)
        (tmp_path / "settings.toml").write_text(settings.to_toml())
        with killed_at_the_end(tmp_path / "settings.toml", "one", "two", "three"):
            before = [receiver.next() for _ in range(3)]  # the last hangs, and is killed
        assert [one.event["data"]["call"]["name"] for one in before] == ["one", "two", "two"]
        receiver.answer(204)
        with killed_at_the_end(tmp_path / "settings.toml", "four"):
            after = [receiver.next() for _ in range(3)]
        assert [one.event["data"]["call"]["name"] for one in after] == ["two", "three", "four"]
        assert after[0].id == before[1].id == before[2].id
        assert len({one.id for one in [*before, *after]}) == 4


def test_a_locked_queue_costs_time_and_no_alert(tmp_path: Path, secret: str) -> None:
    with receiving(secret) as receiver:
        settings = settings_for(tmp_path, receiver)
        assert settings.webhooks is not None
        with posting(settings) as webhooks:
            alert(webhooks, "one")
            assert calls_of(receiver, 1) == ["one"]
            blocker = sqlite3.connect(settings.webhooks.queue, isolation_level=None, timeout=20)
            blocker.execute("BEGIN EXCLUSIVE")
            alert(webhooks, "two")
            eventually(lambda: bool(webhooks.warnings()), "told")
            assert webhooks.warnings() == ("webhooks cannot be stored: database is locked",)
            blocker.close()
            assert calls_of(receiver, 1) == ["two"]
            eventually(lambda: webhooks.warnings() == (), "mended")
        assert webhooks.lost == 0


def test_a_full_disk_is_told_counted_and_live_monitoring_goes_on(
    tmp_path: Path, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = DeliveryQueue.prepare

    def full(queue: DeliveryQueue) -> None:
        prepare(queue)
        (pages,) = queue._database.execute("PRAGMA page_count").fetchone()
        queue._database.execute(f"PRAGMA max_page_count = {pages}")

    monkeypatch.setattr("monitor.webhooks.service.MOST_UNSTORED", 20)
    monkeypatch.setattr(DeliveryQueue, "prepare", full)
    with receiving(secret, (503, {"Retry-After": "3600"})) as receiver:
        settings = settings_for(tmp_path, receiver)
        with posting(settings) as webhooks:
            alert(webhooks, *(f"call-{number}" for number in range(100)))
            eventually(lambda: webhooks.lost >= 20 and len(webhooks.warnings()) >= 2, "told")
            assert webhooks.warnings()[:2] == (
                "webhooks cannot be stored: database or disk is full",
                f"{webhooks.lost} webhooks lost: they could not be stored",
            )
            monkeypatch.setattr(DeliveryQueue, "prepare", prepare)
            eventually(lambda: "cannot be stored" not in webhooks.warnings()[0], "mended")
        assert webhooks.lost >= 20
        kept = [one.call for one in on_disk(settings)]
        assert len(kept) + webhooks.lost == 100
        assert kept[-20:] == [f"call-{number}" for number in range(80, 100)]


def test_a_queue_that_is_no_database_does_not_stop_the_node(tmp_path: Path, secret: str) -> None:
    with receiving(secret) as receiver:
        settings = settings_for(tmp_path, receiver)
        assert settings.webhooks is not None
        path = Path(settings.webhooks.queue)
        path.parent.mkdir()
        path.touch(0o600)
        path.write_bytes(b"rubbish " * 1000)
        with posting(settings) as webhooks:
            alert(webhooks, "one")
            eventually(lambda: bool(webhooks.warnings()), "told")
            assert "move it away, a new one will be made" in webhooks.warnings()[0]
            path.rename(path.with_name("rubbish"))
            assert calls_of(receiver, 1) == ["one"]


def test_a_full_queue_gives_up_the_oldest(tmp_path: Path, secret: str) -> None:
    with receiving(secret, (503, {"Retry-After": "3600"})) as receiver:
        settings = settings_for(tmp_path, receiver, max_waiting=10)
        with posting(settings) as webhooks:
            alert(webhooks, *(f"call-{number:02}" for number in range(15)))
            eventually(lambda: webhooks.counts()[0].given_up == 5, "given up")
        states = [one.state for one in on_disk(settings)]
        assert states == ["given_up"] * 5 + ["waiting"] * 10


def test_two_nodes_do_not_share_a_queue(tmp_path: Path, secret: str) -> None:
    told = pytest.raises(ServiceError, match="another callmood posts from this queue")
    with receiving(secret) as receiver, posting(settings_for(tmp_path, receiver)), told:
        Webhooks(settings_for(tmp_path, receiver), "tiny 0", RULES).start()


def test_a_rule_that_there_is_not_is_refused(tmp_path: Path, secret: str) -> None:
    with receiving(secret) as receiver:
        settings = settings_for(tmp_path, receiver, rules=("sustained_angr",))
        with pytest.raises(SettingError, match=r"webhooks\.rules names 'sustained_angr', expected of sustained_anger"):
            Webhooks(settings, "tiny 0", RULES)


def test_new_secrets_are_read_anew_and_a_bad_file_changes_nothing(tmp_path: Path, secret: str) -> None:
    with receiving(secret) as receiver, posting(settings_for(tmp_path, receiver)) as webhooks:
        path = Path(secret_in(tmp_path)[0])
        path.write_text("rubbish")
        with pytest.raises(SettingError, match="no secret of Standard Webhooks"):
            webhooks.reload()
        alert(webhooks, "one")
        assert calls_of(receiver, 1) == ["one"]
        path.unlink()
        receiver._secret = secret_in(tmp_path)[1]
        webhooks.reload()
        alert(webhooks, "two")
        assert calls_of(receiver, 1) == ["two"]


def test_neither_secret_nor_address_is_logged(tmp_path: Path, secret: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "monitor")
    with receiving(secret, 500) as receiver:
        with posting(settings_for(tmp_path, receiver, retries=0)) as webhooks:
            alert(webhooks, "one")
            eventually(lambda: vars_of(webhooks) == (0, 1), "given up")
        told = caplog.text + repr(webhooks.warnings()) + repr([lane.endpoint for lane in webhooks._lanes])
    assert "is given up: 500 Internal Server Error: `callmood webhooks` lists it" in told
    assert "hidden" not in told
    assert secret.removeprefix("whsec_") not in told


def test_a_node_posts_what_its_pipeline_hears_and_counts_it(tmp_path: Path, secret: str, model: EmotionModel) -> None:
    telephone = Telephone()
    with receiving(secret) as receiver:
        webhooks = settings_for(tmp_path, receiver).webhooks
        settings = Settings(port=0, queue_s=60.0, node="north", webhooks=webhooks)
        running = Node(settings, AngryModel(model), [telephone])  # type: ignore[arg-type]
        running.post_alerts()
        address = running.serve().address
        with running:
            got = receiver.next()
            node = {"name": "north", "callmood": "0.1.0", "model": "tiny 0"}
            assert (got.event["type"], got.event["data"]["node"]) == ("alert.raised", node)
            assert got.event["data"]["call"]["agent"].startswith("id-")
            assert "4711" not in json.dumps(got.event)
            telephone.over.set()
            assert receiver.next().event["type"] == "alert.call_ended"
            assert running.finished.wait(10)
            eventually(lambda: metrics_of(address)['callmood_webhooks_posted_total{endpoint="1"}'] == 2, "counted")
            seen = metrics_of(address)
            assert seen['callmood_webhooks_waiting{endpoint="1"}'] == seen["callmood_webhooks_lost_total"] == 0
            assert running.health().warnings == ()


def test_without_the_table_nothing_is_posted(model: EmotionModel) -> None:
    node = Node(Settings(), model, [])
    node.post_alerts()
    node.stop()
    assert threading.active_count() < 50
    assert node.health().warnings == ()


def test_a_message_costs_the_live_path_next_to_nothing(tmp_path: Path, secret: str) -> None:
    with receiving(secret, STALL) as receiver, posting(settings_for(tmp_path, receiver)) as webhooks:
        webhooks.receive(started("one"))
        message: AnyMessage = reading(5.0)
        before_s = time.perf_counter()
        for _ in range(10_000):
            webhooks.receive(message)
        assert (time.perf_counter() - before_s) / 10_000 < 50e-6


def test_a_recording_posts_at_live_pace_and_never_at_fast_pace(tmp_path: Path, secret: str) -> None:
    samples, rate = soundfile.read(ROOT / "examples" / "calls" / "won_back.flac")
    soundfile.write(tmp_path / "angry.wav", samples[30 * rate : 46 * rate], rate)
    with receiving(secret) as receiver:
        (tmp_path / "settings.toml").write_text(settings_for(tmp_path, receiver).to_toml())
        options = ["--json", "--config", str(tmp_path / "settings.toml"), "--channels", "agent,customer"]
        command = [sys.executable, "-m", "monitor.cli", "replay", str(tmp_path / "angry.wav"), *options]
        fast = subprocess.run([*command, "--pace", "fast"], cwd=ROOT, capture_output=True, text=True, check=True)
        assert '"alert_raised"' in fast.stdout
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, preexec_fn=heed_interrupts) as live:
            got = receiver.next(60)
            live.send_signal(signal.SIGINT)
            assert live.wait(20) == 0
        types = [got.event["type"], *(receiver.next().event["type"] for _ in range(receiver.got.qsize()))]
        assert (types[0], types[-1]) == ("alert.raised", "alert.call_ended")
        assert got.event["data"]["call"]["name"] == "angry"
        assert on_disk(Settings.load(tmp_path / "settings.toml")) == []


def callmood(*arguments: str, environment: dict[str, str] | None = None) -> Any:
    """The command in this process; an error with a cure is its `exception`."""
    return CliRunner(env=environment).invoke(app, ["webhooks", *arguments])


def test_the_commands_list_retry_and_test(tmp_path: Path, secret: str) -> None:
    with receiving(secret, 403) as receiver:
        settings = settings_for(tmp_path, receiver)
        config = ("--config", str(tmp_path / "settings.toml"))
        (tmp_path / "settings.toml").write_text(settings.to_toml())
        assert callmood(*config).stdout == "0 waiting, 0 given up\n"
        with posting(settings) as webhooks:
            alert(webhooks, "o\x1b[1mne")
            eventually(lambda: vars_of(webhooks) == (0, 1), "given up")
        lines = callmood(*config).stdout.splitlines()
        assert (lines[0][:8], lines[1:]) == ("given up", ["0 waiting, 1 given up"])
        assert "\x1b" not in lines[0]
        assert lines[0].endswith("/…, 1 try: 403 Forbidden")
        (listed,) = callmood("--json", *config).stdout.splitlines()
        facts = json.loads(listed)
        assert (facts["state"], facts["last"], facts["id"]) == ("given_up", "403 Forbidden", receiver.next().id)
        tested = callmood("test", *config)
        assert (tested.exit_code, "403 Forbidden in" in tested.stdout) == (2, True)
        assert receiver.next().event["type"] == "webhook.test"
        wrong = callmood("retry", "msg_none", *config)
        assert str(wrong.exception) == "none of msg_none was given up: `callmood webhooks` lists what was"
        assert callmood("retry", facts["id"], *config).stdout.startswith("1 wait again: a running callmood tries")
        receiver.answer(204)
        with posting(settings):
            assert receiver.next().id == facts["id"]
        told = callmood(*config, "retry")
        assert str(told.exception) == "options of retry stand behind it: `callmood webhooks --help`"


def test_the_example_receiver_takes_what_is_posted_once_and_refuses_strangers(tmp_path: Path, secret: str) -> None:
    command = [sys.executable, str(ROOT / "examples" / "webhook_receiver.py"), "0"]
    environment = os.environ | {"CALLMOOD_WEBHOOK_SECRET": secret}
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            settings = Settings(webhooks=WebhookSettings(urls=(url,), queue=str(tmp_path / "q.db")))
            (tmp_path / "settings.toml").write_text(settings.to_toml())
            config = ("--config", str(tmp_path / "settings.toml"))
            ours = {"CALLMOOD_WEBHOOK_SECRET": secret}
            tested = callmood("test", *config, environment=ours)
            assert (tested.exit_code, "204 No Content in" in tested.stdout) == (0, True)
            assert process.stdout.readline().startswith("webhook.test {'node': {'name': 'callmood'")
            strange = {"CALLMOOD_WEBHOOK_SECRET": "whsec_" + "A" * 32}
            refused = callmood("test", *config, environment=strange)
            assert (refused.exit_code, "401 Unauthorized in" in refused.stdout) == (2, True)
        finally:
            process.kill()
