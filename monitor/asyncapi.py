"""The contract as an AsyncAPI 3 document: channels, what goes through them in both directions, and how to get in."""

import json
from typing import Any

from monitor.access import SUBPROTOCOL
from monitor.messages import SCHEMA, AnyMessage, ClientMessage
from monitor.schema import schema, tags
from monitor.settings import Settings
from monitor.subscription import AGENTS_PATH, LONGEST_INTERVAL_S, PATH

_DESCRIPTION = (
    "What callmood hears in the callers' voices, for agents' desktops and supervisors. Made from monitor/messages.py by "
    "`python -m monitor.contract docs`; contract.md says how to connect, how to come back after a cut, and what is refused."
)
_INTERVAL = {
    "type": "number",
    "minimum": 0,
    "maximum": LONGEST_INTERVAL_S,
    "description": "Least time of the call between two readings of a party, seconds; alerts always come.",
}
_CHANNELS = {
    "calls": (PATH, "All calls. Token scope calls:*.", "EPOCH, then a resume message within 5 s."),
    "call": (
        f"{PATH}/{{call}}",
        "One running call; closed with 1000 when it has ended. Token scope calls:* or call:CALL.",
        "EPOCH:SEQ.",
    ),
    "agent": (
        f"{AGENTS_PATH}/{{agent}}",
        "Whatever call this agent is on, without the agent's own emotion. Token scope calls:* or agent:AGENT.",
        "EPOCH, then a resume message within 5 s.",
    ),
}
_PARAMETERS = {
    "call": "The call's name, percent-encoded UTF-8.",
    "agent": "The agent's real id, percent-encoded UTF-8.",
}


def asyncapi() -> dict[str, Any]:
    """The document; the application is the server."""
    said, heard = tags(AnyMessage), tags(ClientMessage)
    definitions = schema()["$defs"]
    del definitions["ServerMessage"], definitions["ClientMessage"]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "callmood",
            "version": SCHEMA,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {name: _server(name) for name in ("ws", "wss")},
        "channels": {name: _channel(name, [*said, *heard]) for name in _CHANNELS},
        "operations": {
            f"{action}_{name}": _operation(action, name, list(kinds))
            for name in _CHANNELS
            for action, kinds in (("send", said), ("receive", heard))
        },
        "components": {
            "messages": {tag: _message(tag, kind.__name__, definitions) for tag, kind in (said | heard).items()},
            "schemas": _moved(definitions),
            "securitySchemes": _security(),
        },
    }


def asyncapi_yaml() -> str:
    """`asyncapi()` as text. Needs PyYAML."""
    import yaml

    unshared = json.loads(json.dumps(asyncapi()))  # the same object twice would become an alias
    text: str = yaml.safe_dump(unshared, sort_keys=False, allow_unicode=True, width=110)
    return text


def _server(protocol: str) -> dict[str, Any]:
    text = {
        "ws": "On the machine itself; tokens only where the settings name a key.",
        "wss": "Anywhere else: TLS 1.2 or later and tokens. The host is an example.",
    }[protocol]
    host = "127.0.0.1" if protocol == "ws" else "callmood.example.com"
    schemes = [{"$ref": f"#/components/securitySchemes/{name}"} for name in _security()]
    return {"host": f"{host}:{Settings().port}", "protocol": protocol, "description": text, "security": schemes}


def _channel(name: str, kinds: list[str]) -> dict[str, Any]:
    address, text, after = _CHANNELS[name]
    point = {"type": "string", "description": f"Where to go on from after a cut: {after}"}
    query = {"type": "object", "properties": {"min_interval_s": _INTERVAL, "after": point}}
    parameters = {"parameters": {name: {"description": _PARAMETERS[name]}}} if name in _PARAMETERS else {}
    return {
        "address": address,
        "description": text,
        **parameters,
        "messages": {kind: {"$ref": f"#/components/messages/{kind}"} for kind in kinds},
        "bindings": {"ws": {"method": "GET", "query": query, "bindingVersion": "0.1.0"}},
    }


def _operation(action: str, channel: str, kinds: list[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": "What the server says." if action == "send" else "What a subscriber may say.",
        "messages": [{"$ref": f"#/channels/{channel}/messages/{kind}"} for kind in kinds],
    }


def _message(tag: str, name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    summary = definitions[name]["description"].partition("\n")[0]
    return {"name": tag, "title": name, "summary": summary, "payload": {"$ref": f"#/components/schemas/{name}"}}


def _moved(definitions: dict[str, Any]) -> dict[str, Any]:
    """`definitions` where AsyncAPI keeps them."""
    moved: dict[str, Any] = json.loads(json.dumps(definitions).replace("#/$defs/", "#/components/schemas/"))
    return moved


def _security() -> dict[str, Any]:
    return {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "Of programs: Authorization: Bearer TOKEN.",
        },
        "subprotocol": {
            "type": "httpApiKey",
            "in": "header",
            "name": "Sec-WebSocket-Protocol",
            "description": f"Of browsers: the two subprotocols {SUBPROTOCOL}, bearer.TOKEN; the server answers {SUBPROTOCOL}.",
        },
    }
