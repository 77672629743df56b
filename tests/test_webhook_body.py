import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.messages import AlertAcknowledged, AnyMessage, CallKey, CallStarted, PartyInfo, rfc3339
from monitor.settings import WebhookSettings
from monitor.webhooks import body as webhook_body
from monitor.webhooks.body import Body, Composer, Origin, Wanted
from tests.board_messages import T0, cleared, ended, raised, reading

ORIGIN = Origin(name="north", callmood="0.1.0", model="tiny 0")
ALL = Wanted(("raised", "cleared", "acknowledged", "call_ended"), ("critical", "warning", "info"))
MANUAL = Path(__file__).parents[1] / "docs" / "webhooks.md"


def started(call: str = "one", agent: str | None = "id-6b1f3c0a9d27") -> CallStarted:
    parties: Any = {"customer": PartyInfo(channel=0, scored=True)}
    return CallStarted(at=rfc3339(T0), call=call, seq=1, source="siprec", path=None, agent=agent, parties=parties)


def acknowledged(by: str = "Ada", call: str = "one") -> AlertAcknowledged:
    alert = f"{call}-sustained_anger"
    return AlertAcknowledged(at=rfc3339(T0 + 9), call=call, seq=5, alert=alert, party="customer", by=by)


def bodies(*seen: AnyMessage, wanted: Wanted = ALL) -> list[dict[str, Any]]:
    composer = Composer(ORIGIN, wanted)
    return [json.loads(notice.body) for message in seen for notice in composer.see(message)]


def test_a_raised_alert_says_what_a_receiver_needs_to_act() -> None:
    (body,) = bodies(started(), reading(7.5, "anger", "angry"), raised(8.0, start_s=5.0))
    assert body == {
        "type": "alert.raised",
        "timestamp": "2026-01-01T00:00:08.000Z",
        "data": {
            "alert": {
                "id": "one-sustained_anger",
                "rule": "sustained_anger",
                "severity": "critical",
                "party": "customer",
                "about": "party",
                "start_s": 5.0,
                "raised_at": "2026-01-01T00:00:08.000Z",
            },
            "call": {
                "name": "one",
                "source": "siprec",
                "agent": "id-6b1f3c0a9d27",
                "started_at": "2026-01-01T00:00:00.000Z",
            },
            "heard": {"end_s": 7.5, "state": "speech", "label": "anger", "mood": "angry", "confidence": 0.7},
            "node": {"name": "north", "callmood": "0.1.0", "model": "tiny 0"},
            "message": json.loads(msgspec.json.encode(raised(8.0, start_s=5.0))),
        },
    }


def test_a_notice_names_its_call_by_name_and_beginning() -> None:
    composer = Composer(ORIGIN, ALL)
    notices = [notice for message in (started(), raised(8.0)) for notice in composer.see(message)]
    assert [notice.call for notice in notices] == [CallKey("one", round(T0 * 1000))]


def test_each_turn_of_an_alert_is_told_with_the_same_facts_of_it() -> None:
    told = bodies(started(), raised(8.0), acknowledged(), cleared(20.0), ended(30.0))
    assert [one["type"] for one in told] == ["alert.raised", "alert.acknowledged", "alert.cleared"]
    assert len({json.dumps(one["data"]["alert"]) for one in told}) == 1
    assert told[1]["data"]["message"]["by"] == "Ada"


def test_a_call_that_ends_with_an_open_alert_says_so_once_with_its_outcome() -> None:
    told = bodies(started(), raised(8.0), ended(30.0, outcome="angry"), started(), ended(30.0))
    assert [one["type"] for one in told] == ["alert.raised", "alert.call_ended"]
    assert (told[1]["data"]["message"]["outcome"], told[1]["data"]["alert"]["id"]) == ("angry", "one-sustained_anger")


def test_before_the_first_reading_nothing_was_heard() -> None:
    assert bodies(started(), raised(1.0))[0]["data"]["heard"] is None


@pytest.mark.parametrize(
    ("wanted", "types"),
    [
        (Wanted(("raised",), ("critical",)), ["alert.raised"]),
        (Wanted(("cleared", "acknowledged"), ("critical",)), ["alert.acknowledged", "alert.cleared"]),
        (Wanted(ALL.happenings, ("warning",)), []),
        (Wanted(ALL.happenings, ("critical",), ("recovery",)), []),
        (Wanted(("raised",), ("critical",), ("sustained_anger",)), ["alert.raised"]),
    ],
)
def test_only_what_is_wanted_is_posted(wanted: Wanted, types: list[str]) -> None:
    seen = started(), raised(8.0), acknowledged(), cleared(20.0), ended(30.0)
    assert [one["type"] for one in bodies(*seen, wanted=wanted)] == types


def test_ids_differ_and_hold_no_full_stop() -> None:
    ids = {webhook_body.new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch(r"msg_[0-9a-f]{32}", one) for one in ids)


def test_calls_that_are_over_are_forgotten() -> None:
    composer = Composer(ORIGIN, ALL)
    for number in range(100):
        name = f"call-{number}"
        for message in (started(name), reading(5.0, call=name), raised(8.0, name), ended(9.0, name)):
            composer.see(message)
    assert composer._calls == {}


def test_the_manual_has_every_field_and_its_example_is_a_body() -> None:
    text = MANUAL.read_text()
    example = text.partition("```json\n")[2].partition("```")[0]
    decoded = msgspec.json.decode(example, type=Body)
    assert json.loads(msgspec.json.encode(decoded)) == json.loads(example)
    for kind in (webhook_body.AlertFacts, webhook_body.CallFacts, webhook_body.Heard, webhook_body.Origin):
        for name in kind.__struct_fields__:
            assert f"`{name}`" in text, f"{kind.__name__}.{name}"


def test_the_manual_has_the_settings_as_they_are() -> None:
    told = dict(re.findall(r"`(\w+)` \(([\d,]+)(?: s)?\)", MANUAL.read_text()))
    assert set(told) == {"timeout_s", "retries", "first_wait_s", "longest_wait_s", "max_waiting", "days"}
    for name, value in told.items():
        assert getattr(WebhookSettings(), name) == float(value.replace(",", "")), name
