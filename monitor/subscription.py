"""What a subscriber asks for, by the address that it connects to. Pure."""

import math
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote

from monitor.errors import RequestError

PATH = "/v1/calls"
AGENTS_PATH = "/v1/agents"
LONGEST_INTERVAL_S = 60.0

_ADDRESS = re.compile(rf"(?:{PATH}|{PATH}/(?P<call>[^/]+)|{AGENTS_PATH}/(?P<agent>[^/]+))")
_EPOCH = re.compile(r"[0-9A-Za-z_-]{1,64}")
_SEQ = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Topic:
    """Which calls: all, one, or whatever call an agent is on."""

    kind: Literal["calls", "call", "agent"]
    name: str = ""
    """Of the call or the agent; empty for all calls."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name or '*'}"


ALL_CALLS = Topic("calls")


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic, where to go on from, and how many readings are wanted."""

    topic: Topic
    epoch: str | None = None
    """The server's run that the resume point belongs to; null for a fresh start."""
    seq: int | None = None
    """The last `seq` heard of the one call; of several calls the first message says it."""
    min_interval_s: float = 0.0
    """Least time of the call between two readings of a party, 0..60 s."""


def parse_subscription(target: str) -> Subscription:
    """The subscription that a request for `target` (path and query) wants.

    `/v1/calls`, `/v1/calls/CALL`, `/v1/agents/AGENT` (names percent-encoded UTF-8), then `?min_interval_s=SECONDS` and
    `?after=EPOCH:SEQ` for one call, `?after=EPOCH` for several. Raises RequestError: status 404 where nothing is, 400
    where the query means nothing.
    """
    path, _, query = target.partition("?")
    match = _ADDRESS.fullmatch(path)
    if match is None:
        cure = f"subscribe to {PATH}, {PATH}/CALL or {AGENTS_PATH}/AGENT"
        raise RequestError(f"nothing at {path[:60]!a:.100}: {cure}", 404, "path")
    topic = _topic(match["call"], match["agent"])
    asked = _query(query)
    epoch, seq = _after(asked["after"], topic) if "after" in asked else (None, None)
    return Subscription(topic, epoch, seq, _interval(asked.get("min_interval_s", "0")))


def _topic(call: str | None, agent: str | None) -> Topic:
    name = call or agent
    if name is None:
        return ALL_CALLS
    try:
        return Topic("call" if call else "agent", unquote(name, errors="strict"))
    except UnicodeDecodeError:
        raise RequestError(f"{name[:60]!a} is no percent-encoded UTF-8: encode the name anew", 400, "path") from None


def _query(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=8)
    except ValueError:
        raise RequestError("too many parameters: after and min_interval_s are known", 400, "query") from None
    asked = dict(pairs)
    if len(asked) != len(pairs):
        raise RequestError("a parameter stands twice: name each once", 400, "query")
    for name in asked:
        if "token" in name.lower():
            raise RequestError("tokens never go into the address: send Authorization: Bearer TOKEN", 400, "query")
        if name not in ("after", "min_interval_s"):
            raise RequestError(f"unknown parameter {name[:40]!a}: after and min_interval_s are known", 400, "query")
    return asked


def _after(text: str, topic: Topic) -> tuple[str, int | None]:
    epoch, colon, seq = text.partition(":")
    one = topic.kind == "call"
    if not _EPOCH.fullmatch(epoch) or bool(colon) != one or (one and not _SEQ.fullmatch(seq)):
        expected = "EPOCH:SEQ" if one else "EPOCH, then a resume message"
        raise RequestError(f"after={text[:40]!a} is no resume point: expected {expected}", 400, "resume")
    return epoch, int(seq) if one else None


def _interval(text: str) -> float:
    try:
        interval_s = float(text)
    except ValueError:
        interval_s = math.nan
    if not 0 <= interval_s <= LONGEST_INTERVAL_S:
        wanted = f"expected seconds within 0..{LONGEST_INTERVAL_S:g}"
        raise RequestError(f"min_interval_s={text[:40]!a}: {wanted}", 400, "query")
    return interval_s
