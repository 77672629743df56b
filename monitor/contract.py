"""The contract in documents made from the message types: JSON Schema 2020-12."""

import functools
from typing import Any

import msgspec

from monitor.messages import SCHEMA, AnyMessage, ClientMessage


def schema() -> dict[str, Any]:
    """JSON Schema of every message, from the server and from its clients."""
    (server, client), definitions = msgspec.json.schema_components(
        (AnyMessage, ClientMessage), ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"callmood messages, contract {SCHEMA}",
        **server,
        "$defs": definitions | {"ServerMessage": server, "ClientMessage": client},
    }


@functools.cache
def schema_json() -> str:
    """`schema()` as text."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"
