"""The messages as JSON Schema 2020-12, made from their types and from what their source says of each field."""

import ast
import functools
import inspect
import itertools
import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from monitor import messages
from monitor.messages import SCHEMA, AnyMessage, ClientMessage

_MOMENTS = ("at", "expires_at")
"""Fields that hold a moment, RFC 3339."""


def schema() -> dict[str, Any]:
    """JSON Schema of every message, from the server and from its clients.

    Of a server's message everything is required that this version always sends. Nothing forbids further fields: v1 grows.
    """
    (server, client), definitions = msgspec.json.schema_components(
        (AnyMessage, ClientMessage), ref_template="#/$defs/{name}"
    )
    for union in (server, client):
        del union["discriminator"]  # of OpenAPI; JSON Schema tells by `const`
    described = {name: _described(getattr(messages, name), shape) for name, shape in definitions.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"callmood messages, contract {SCHEMA}",
        "description": "One message: from the server (ServerMessage) or, sent to it, from a subscriber (ClientMessage).",
        "anyOf": [{"$ref": "#/$defs/ServerMessage"}, {"$ref": "#/$defs/ClientMessage"}],
        "$defs": {"ServerMessage": server, "ClientMessage": client} | described,
    }


@functools.cache
def schema_json() -> str:
    """`schema()` as text."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"


def tags(union: Any) -> dict[str, type[msgspec.Struct]]:
    """The message types of `union` by the `type` that they carry."""
    return {str(kind.__struct_config__.tag): kind for kind in typing.get_args(union)}


def _described(kind: type[msgspec.Struct], shape: dict[str, Any]) -> dict[str, Any]:
    """`shape`, the schema of `kind`, with what only the source says: its fields' texts, keys and moments."""
    hints, texts = typing.get_type_hints(kind), dict(_field_texts(kind))
    config = kind.__struct_config__
    properties = {name: _precise(name, hints.get(name), field) for name, field in shape["properties"].items()}
    for name, text in texts.items():
        properties[name] = {"description": text} | properties[name]
    always = issubclass(kind, messages.Message) and not config.omit_defaults
    sent = [name for name in properties if msgspec.UnsetType not in typing.get_args(hints.get(name))]
    return shape | {"properties": properties, "required": sent if always else shape["required"]}


def _precise(name: str, hint: Any, field: dict[str, Any]) -> dict[str, Any]:
    if len(field.get("enum", ())) == 1:
        field = {"const": field["enum"][0]}
    if name in _MOMENTS:
        return field | {"format": "date-time"}
    if name == "seq":
        return field | {"minimum": 1}
    keys = next(_literal_keys(hint), None)
    if keys:
        shapes = field.get("anyOf", [field])
        next(shape for shape in shapes if shape["type"] == "object")["propertyNames"] = {"enum": list(keys)}
    return field


def _literal_keys(hint: Any) -> Iterator[tuple[str, ...]]:
    """The keys that a `dict[Literal[…], …]` in `hint` may have."""
    if typing.get_origin(hint) is dict:
        key = typing.get_args(hint)[0]
        if typing.get_origin(key) is typing.Literal:
            yield typing.get_args(key)
    else:
        for part in typing.get_args(hint):
            yield from _literal_keys(part)


def _field_texts(kind: type) -> Iterator[tuple[str, str]]:
    """The docstring under each field, base classes first."""
    for base in reversed(kind.__mro__):
        body = _bodies().get(base.__name__, [])
        for field, text in itertools.pairwise(body):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as said)):
                    yield name, " ".join(said.split())


@functools.cache
def _bodies() -> dict[str, list[ast.stmt]]:
    """The classes of `monitor.messages` as they are written; none where the source is not there."""
    try:
        tree = ast.parse(inspect.getsource(messages))
    except OSError:
        return {}
    return {node.name: node.body for node in tree.body if isinstance(node, ast.ClassDef)}
