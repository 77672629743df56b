"""Code and documents of the contract say the same, and what is really sent is what they say."""

import ast
import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from monitor.app import Node
from monitor.asyncapi import asyncapi, asyncapi_yaml
from monitor.messages import (
    Acknowledge,
    AnyMessage,
    ClientMessage,
    Error,
    Gap,
    Heartbeat,
    Missed,
    NewToken,
    Resume,
    TokenAccepted,
)
from monitor.model import EmotionModel, default_path
from monitor.schema import schema, schema_json, tags
from monitor.settings import Settings
from monitor.sources import CallNames
from monitor.sources.recording import Recordings
from monitor.subscriber import ENDED, REFUSED, TOO_SLOW, UNSUPPORTED
from tests.broadcasting import AT, acknowledgement, cleared, ended, hello, raised, reading, started

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ASYNCAPI_SCHEMA = ROOT / ".venv/npm/node_modules/@asyncapi/specs/schemas/3.0.0.json"
CURE = "look at what changed after `python -m monitor.contract docs`, and tell it in docs/contract.md"

ACKNOWLEDGE = Acknowledge(call="a", alert="a:1", by="Kim")
SAID = [
    started(agent="4711"),
    reading(2, scores=dict.fromkeys(("anger", "disgust", "fear", "happy", "neutral", "sad"), 1 / 6)),
    Gap(at=AT, call="a", seq=3, party="customer", start_s=1.0, end_s=1.5, reason="lost packets"),
    raised(4),
    acknowledgement(5, ACKNOWLEDGE),
    cleared(6),
    ended(7, shares={"customer": {"neutral": 1.0}}),
    hello(),
    Error(at=AT, code="audio", text="no"),
    Missed(at=AT, count=0, reason="unknown"),
    Heartbeat(at=AT),
    TokenAccepted(at=AT, expires_at=AT),
]
HEARD = [ACKNOWLEDGE, NewToken(token="x"), Resume(after={"a": 3})]

to_subscribers = Draft202012Validator(schema() | {"anyOf": [{"$ref": "#/$defs/ServerMessage"}]})
from_subscribers = Draft202012Validator(schema() | {"anyOf": [{"$ref": "#/$defs/ClientMessage"}]})


def as_json(message: msgspec.Struct) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(msgspec.json.encode(message))
    return value


def test_the_committed_documents_are_what_the_code_makes() -> None:
    assert (DOCS / "schema_v1.json").read_text(encoding="utf-8") == schema_json(), CURE
    assert (DOCS / "asyncapi.yaml").read_text(encoding="utf-8") == asyncapi_yaml(), CURE


def test_the_module_writes_them(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "monitor.contract", str(tmp_path)], cwd=ROOT, check=True)
    for name in ("schema_v1.json", "asyncapi.yaml"):
        assert (tmp_path / name).read_bytes() == (DOCS / name).read_bytes(), CURE


def test_the_schema_is_one_and_describes_every_type() -> None:
    Draft202012Validator.check_schema(schema())
    assert {str(m.__struct_config__.tag) for m in SAID} == tags(AnyMessage).keys()
    assert {str(m.__struct_config__.tag) for m in HEARD} == tags(ClientMessage).keys()
    for name, shape in schema()["$defs"].items():
        assert shape.get("description") or name in ("ServerMessage", "ClientMessage")
    fields = schema()["$defs"]["Hello"]["properties"]
    assert fields["heartbeat_s"]["description"].startswith("A subscriber that got nothing for three times as long")
    assert fields["at"]["description"] == "When the message was made: UTC, RFC 3339, milliseconds."


@pytest.mark.parametrize("message", SAID + HEARD, ids=lambda message: message.__struct_config__.tag)
def test_a_message_is_valid_and_what_is_broken_in_it_is_not(message: msgspec.Struct) -> None:
    validator = to_subscribers if message in SAID else from_subscribers
    whole = as_json(message)
    validator.validate(whole)
    validator.validate(whole | {"of_a_later_version": 1})
    for broken in broken_ones(whole, optional={"by"}):
        assert not validator.is_valid(broken), broken


def test_how_far_missed_goes_is_said_where_it_is_known() -> None:
    missed = as_json(Missed(at=AT, call="a", count=5, reason="slow", seq=7))
    to_subscribers.validate(missed)
    assert not to_subscribers.is_valid(missed | {"seq": 0})


def broken_ones(whole: dict[str, Any], optional: set[str]) -> Iterator[dict[str, Any]]:
    """Without a field, with one of another kind, with another value where only some may be."""
    for name in whole:
        lacking, strange = copy.deepcopy(whole), copy.deepcopy(whole)
        del lacking[name]
        strange[name] = [[]]
        yield strange
        if name not in optional:
            yield lacking
    yield whole | {"type": "weather"}
    for name, value in (("v", 2), ("seq", 0), ("state", "asleep"), ("party", "nobody"), ("scores", {"rage": 1.0})):
        if name in whole:
            yield whole | {name: value}


@pytest.fixture(scope="module")
def replayed() -> list[dict[str, Any]]:
    """Everything that a subscriber of all calls hears while the example calls are replayed."""
    recordings = Recordings([ROOT / "examples" / "calls"], CallNames(), pace="fast", max_calls=10)
    node = Node(Settings(port=0, backlog=2_048), EmotionModel(default_path()), [recordings])
    address = node.serve().address
    with ThreadPoolExecutor(1) as threads, connect(address, proxy=None) as subscriber:
        heard = threads.submit(everything, subscriber)
        with node:
            node.finished.wait(120)
        return heard.result(20)


def everything(subscriber: Any) -> list[dict[str, Any]]:
    got = []
    try:
        while True:
            got.append(json.loads(subscriber.recv()))
    except ConnectionClosed:
        return got


def test_every_message_of_a_real_replay_is_as_the_schema_says(replayed: list[dict[str, Any]]) -> None:
    kinds = {message["type"] for message in replayed}
    assert kinds >= {"hello", "call_started", "reading", "alert_raised", "call_ended"}
    assert len(replayed) > 500
    for message in replayed:
        to_subscribers.validate(message)


def test_the_manual_names_every_type_and_every_code() -> None:
    manual = (DOCS / "contract.md").read_text(encoding="utf-8")
    for tag in tags(AnyMessage).keys() | tags(ClientMessage).keys():
        assert f"`{tag}`" in manual, tag
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in manual.splitlines() if line.startswith("|")]
    for status in statuses():
        assert [str(status), str(REFUSED + status)] in rows, status
    for code in (ENDED, UNSUPPORTED, TOO_SLOW):
        assert any(str(code) in cells[1] for cells in rows), code


def statuses() -> set[int]:
    """Every status that the code refuses with."""
    found = set()
    for path in (ROOT / "monitor").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("AccessError", "RequestError"):
                found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant) and type(arg.value) is int}
    assert found >= {400, 401, 403, 404, 429, 503}
    return found


def test_asyncapi_names_every_message_on_every_channel_and_every_reference_leads_somewhere() -> None:
    document = yaml.safe_load((DOCS / "asyncapi.yaml").read_text(encoding="utf-8"))
    assert document["asyncapi"] == "3.0.0"
    assert [channel["address"] for channel in document["channels"].values()] == [
        "/v1/calls",
        "/v1/calls/{call}",
        "/v1/agents/{agent}",
    ]
    for name, channel in document["channels"].items():
        assert channel["messages"].keys() == tags(AnyMessage).keys() | tags(ClientMessage).keys()
        directions = {"send": tags(AnyMessage), "receive": tags(ClientMessage)}
        for action, kinds in directions.items():
            said = document["operations"][f"{action}_{name}"]["messages"]
            assert [one["$ref"].rpartition("/")[2] for one in said] == list(kinds)
    for reference in references(document):
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from references(part)


def test_asyncapi_is_what_asyncapi_says_it_is() -> None:
    if not ASYNCAPI_SCHEMA.exists():
        text = "the schema of AsyncAPI is missing: make .venv/npm (needs npm)"
        pytest.fail(text) if os.environ.get("CI") == "true" else pytest.skip(text)
    validator = Draft7Validator(json.loads(ASYNCAPI_SCHEMA.read_text(encoding="utf-8")))
    validator.validate(json.loads(json.dumps(asyncapi())))
    assert not validator.is_valid(asyncapi() | {"channels": {"calls": {"address": 1}}})
