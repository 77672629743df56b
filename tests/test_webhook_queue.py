import json
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ServiceError
from monitor.messages import CallKey, unix_ms
from monitor.settings import WebhookSettings
from monitor.webhooks.body import Notice
from monitor.webhooks.endpoints import Endpoint
from monitor.webhooks.files import owned, queue_path
from monitor.webhooks.queue import _STEPS, DeliveryQueue, forget, open_queue

CRM = Endpoint(1, "https://crm.example.com/a", (b"k" * 24,), "https://crm.example.com/…")
PAGER = Endpoint(2, "https://pager.example.com/b", (b"k" * 24,), "https://pager.example.com/…")


def notice(name: str, call: str = "one", body: bytes = b"{}", began_ms: int = 1) -> Notice:
    return Notice(name, "alert.raised", CallKey(call, began_ms), "sustained_anger", "critical", body)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "webhooks.db"


@pytest.fixture
def queue(path: Path) -> Iterator[DeliveryQueue]:
    opened = open_queue(path)
    yield opened
    opened.close()


def ids(queue: DeliveryQueue, endpoint: Endpoint) -> list[str]:
    """What would be delivered, in order."""
    order = []
    while (delivery := queue.turn(endpoint.key).delivery) is not None:
        order.append(delivery.id)
        queue.delivered(delivery)
    return order


def test_each_endpoint_gets_everything_in_order(queue: DeliveryQueue) -> None:
    queue.put([notice("a"), notice("b")], [CRM, PAGER], 1.0)
    queue.put([notice("c")], [CRM, PAGER], 2.0)
    assert queue.turn(CRM.key).waiting == 3
    assert (ids(queue, CRM), ids(queue, PAGER)) == (["a", "b", "c"], ["a", "b", "c"])
    assert queue.all() == []


def test_what_waits_is_there_after_a_restart_with_its_tries_and_its_pause(queue: DeliveryQueue, path: Path) -> None:
    queue.put([notice("a", body=b"\x00body")], [CRM], 1.0)
    head = queue.turn(CRM.key).delivery
    assert head is not None
    queue.failed(head, "503 Service Unavailable", 1, 99.0, give_up=False)
    queue.close()
    again = open_queue(path)
    turn = again.turn(CRM.key)
    assert turn.delivery is not None
    assert (turn.delivery.id, turn.delivery.body, turn.delivery.tries) == ("a", b"\x00body", 1)
    assert (turn.failures, turn.due_s, turn.gone, turn.delivery.last) == (1, 99.0, False, "503 Service Unavailable")
    again.close()


def test_a_delivery_that_is_given_up_lets_the_next_one_go_but_not_sooner(queue: DeliveryQueue) -> None:
    queue.put([notice("a"), notice("b")], [CRM], 1.0)
    head = queue.turn(CRM.key).delivery
    assert head is not None
    queue.failed(head, "no", 3, 50.0, give_up=True)
    turn = queue.turn(CRM.key)
    assert turn.delivery is not None
    assert (turn.delivery.id, turn.failures, turn.due_s) == ("b", 3, 50.0)
    assert [(one.id, one.state) for one in queue.all()] == [("a", "given_up"), ("b", "waiting")]


def test_what_was_given_up_waits_again_in_its_old_place_and_under_its_old_id(queue: DeliveryQueue) -> None:
    queue.put([notice("a"), notice("b"), notice("c")], [CRM], 1.0)
    for _ in "ab":
        head = queue.turn(CRM.key).delivery
        assert head is not None
        queue.refused(head, "410 Gone", gone=True)
    assert queue.turn(CRM.key).gone
    assert queue.retry(["b", "nobody"]) == 1
    assert not queue.turn(CRM.key).gone
    assert queue.retry() == 1
    assert ids(queue, CRM) == ["a", "b", "c"]


def test_a_new_start_asks_an_endpoint_again_that_wanted_no_more(queue: DeliveryQueue) -> None:
    queue.put([notice("a")], [CRM], 1.0)
    head = queue.turn(CRM.key).delivery
    assert head is not None
    queue.refused(head, "410 Gone", gone=True)
    queue.welcome([CRM])
    assert not queue.turn(CRM.key).gone


def test_past_the_bound_the_oldest_is_given_up_and_of_those_the_oldest_forgotten(queue: DeliveryQueue) -> None:
    queue.put([notice(str(number)) for number in range(25)], [CRM], 1.0)
    assert queue.overtake(CRM.key, 10, "newer ones came") == 15
    assert queue.overtake(CRM.key, 10, "newer ones came") == 0
    given_up = [one.id for one in queue.all() if one.state == "given_up"]
    assert given_up == [str(number) for number in range(5, 15)]
    assert ids(queue, CRM) == [str(number) for number in range(15, 25)]


def test_what_is_too_old_is_deleted(queue: DeliveryQueue) -> None:
    queue.put([notice("old")], [CRM], 1.0)
    queue.put([notice("new")], [CRM], 9.0)
    assert queue.expire(5.0) == 1
    assert ids(queue, CRM) == ["new"]


@given(st.lists(st.sampled_from(["put", "deliver", "fail", "give up", "refuse", "retry"]), max_size=40))
def test_whatever_happens_order_is_kept_and_nothing_is_lost_or_doubled(steps: list[str]) -> None:
    queue = DeliveryQueue(sqlite3.connect(":memory:", isolation_level="IMMEDIATE"))
    queue.prepare()
    made, arrived = 0, list[int]()
    for step in steps:
        head = queue.turn(CRM.key).delivery
        if step == "put":
            queue.put([notice(str(made))], [CRM], 1.0)
            made += 1
        elif step == "retry":
            queue.retry()
        elif head is not None and step == "deliver":
            queue.delivered(head)
            arrived.append(int(head.id))
        elif head is not None and step == "refuse":
            queue.refused(head, "no", gone=False)
        elif head is not None:
            queue.failed(head, "no", 1, 0.0, give_up=step == "give up")
    left = [int(one.id) for one in queue.all()]
    assert sorted(arrived + left) == list(range(made))
    assert left == sorted(left)
    if not {"give up", "refuse"} & set(steps):
        assert arrived == sorted(arrived)
    queue.close()


def bytes_beside(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_a_call_that_is_forgotten_is_in_no_byte_of_any_file(path: Path, queue: DeliveryQueue) -> None:
    for number in range(1, 25):  # bodies of all sizes, so that pages split, and others' between them
        queue.put(
            [notice(f"id-{number}-{part}", "MARKER-call", b"MARKER" * number) for part in range(9)], [CRM, PAGER], 1.0
        )
        queue.put([notice(f"other-{number}", "two", b"kept" * 9 * number)], [CRM], 1.0)
    head = queue.turn(CRM.key).delivery
    assert head is not None
    queue.failed(head, "MARKER-last", 1, 0.0, give_up=True)
    queue.close()
    assert b"MARKER" in bytes_beside(path)
    assert forget(path, [CallKey("none", 1), CallKey("MARKER-call", 1)]) == 2 * 9 * 24
    assert b"MARKER" not in bytes_beside(path)
    assert forget(path, [CallKey("MARKER-call", 1)]) == 0
    again = open_queue(path)
    assert {one.call for one in again.all()} == {"two"}
    again.close()


def test_what_waits_of_another_call_of_the_name_stays(path: Path, queue: DeliveryQueue) -> None:
    queue.put([notice("earlier", began_ms=1), notice("later", began_ms=2)], [CRM], 1.0)
    assert forget(path, [CallKey("one", 1)]) == 1
    assert ids(queue, CRM) == ["later"]


def test_a_queue_of_an_earlier_version_keeps_what_waits_and_learns_when_its_calls_began(path: Path) -> None:
    at = "2026-01-31T12:00:00.040Z"
    path.parent.mkdir()
    path.touch(0o600)
    with closing(sqlite3.connect(path)) as old:
        old.executescript(f"{_STEPS[0]} PRAGMA user_version = 1;")
        row = "INSERT INTO deliveries (id, endpoint, shown, kind, call, rule, severity, body, queued_s) VALUES "
        for name, body in (("a", {"data": {"call": {"started_at": at}}}), ("b", {"data": {}}), ("c", None)):
            said = b"none" if body is None else json.dumps(body).encode()
            old.execute(
                row + "(?, ?, 'shown', 'alert.raised', 'one', 'rule', 'critical', ?, 1.0)", (name, CRM.key, said)
            )
        old.commit()
    assert forget(path, [CallKey("one", unix_ms(at))]) == 1
    with closing(open_queue(path)) as queue:
        assert ids(queue, CRM) == ["b", "c"]


def test_what_was_delivered_leaves_nothing_behind(path: Path, queue: DeliveryQueue) -> None:
    queue.put([notice("a", "MARKER", b"MARKER" * 1000)], [CRM], 1.0)
    assert ids(queue, CRM) == ["a"]
    assert b"MARKER" not in bytes_beside(path)


def test_nothing_is_forgotten_where_nothing_is(tmp_path: Path) -> None:
    assert forget(tmp_path / "none.db", [CallKey("one", 1)]) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("queue")
def test_forgetting_says_when_it_could_not(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.webhooks.queue.open_queue", lambda path: open_queue(path, 0.01))
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ServiceError, match="nothing was forgotten: database is locked: try again"):
        forget(path, [CallKey("one", 1)])
    blocker.close()


def test_the_file_is_its_owners_alone(path: Path, queue: DeliveryQueue) -> None:
    queue.put([notice("a")], [CRM], 1.0)
    assert [stat.S_IMODE(file.stat().st_mode) for file in (path, path.parent)] == [0o600, 0o700]
    path.chmod(0o644)
    with pytest.raises(ServiceError, match="mode 0644 lets others read what waits to be posted, expected 0600: chmod"):
        open_queue(path)


def test_a_file_that_is_no_queue_is_left_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    path.touch(0o600)
    path.write_bytes(b"this is no database, and long enough to be sure of that" * 10)
    with pytest.raises(ServiceError, match=r"no queue of webhooks .*: move it away, a new one will be made"):
        open_queue(path)
    assert path.read_bytes().startswith(b"this is no database")


def test_a_queue_of_a_later_version_is_refused(path: Path, queue: DeliveryQueue) -> None:
    queue._database.execute("PRAGMA user_version = 9")
    with pytest.raises(ServiceError, match="has schema 9, expected 2: use the newer callmood"):
        open_queue(path)


def test_one_node_posts_from_a_queue(path: Path) -> None:
    with (
        owned(path),
        pytest.raises(ServiceError, match=r"another callmood posts from this queue: end it, or .* webhooks\.queue"),
        owned(path),
    ):
        pytest.fail("two own it")
    with owned(path):
        pass


def test_the_queue_lies_in_the_state_folder_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert queue_path(WebhookSettings()) == Path("/state/callmood/webhooks.db")
    monkeypatch.delenv("XDG_STATE_HOME")
    assert queue_path(WebhookSettings()) == Path("~/.local/state/callmood/webhooks.db").expanduser()
    assert queue_path(WebhookSettings(queue="/q.db")) == Path("/q.db")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServiceError, match=r"cannot keep webhooks there: .*: name another file by webhooks\.queue"):
        open_queue(tmp_path / "file" / "webhooks.db")
