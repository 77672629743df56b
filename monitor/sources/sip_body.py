"""The body of a SIP request: SDP, recording metadata, or both in parts (RFC 2046 5.1, RFC 5621, RFC 7866 9.1). Pure and total."""

from dataclasses import dataclass

from monitor.errors import ProtocolError
from monitor.sources.sip import Headers, parse_params, split_outside

SDP = "application/sdp"
METADATA = ("application/rs-metadata+xml", "application/rs-metadata")
"""The registered type, and the one that some clients send."""
MULTIPART = "multipart/mixed"
ACCEPTED = (SDP, *METADATA, MULTIPART)
_MOST_PARTS = 16


class UnsupportedBodyError(ProtocolError):
    """A body of a kind that is not understood here: 415."""


@dataclass(frozen=True, slots=True)
class Body:
    """What a request carries; None where it carries none of it."""

    sdp: bytes | None = None
    metadata: bytes | None = None


def parse_body(headers: Headers, body: bytes) -> Body:
    """Parts of other types are passed over, as long as one is understood.

    Raises UnsupportedBodyError for a type that is none of ACCEPTED, ProtocolError for parts that cannot be told apart.
    """
    if not body.strip():
        return Body()
    kind, params = _content_type(headers.first("content-type"))
    if kind not in ACCEPTED or headers.first("content-encoding").lower() not in ("", "identity"):
        raise UnsupportedBodyError(f"body must be one of {', '.join(ACCEPTED)}, got {kind[:80]!r}")
    parts = _parts(body, params.get("boundary", "")) if kind == MULTIPART else [(kind, body)]
    sdp = next((content for kind, content in parts if kind == SDP), None)
    metadata = next((content for kind, content in parts if kind in METADATA), None)
    return Body(sdp, metadata)


def _content_type(value: str) -> tuple[str, dict[str, str]]:
    kind, *params = split_outside(value, ";")
    return kind.strip().lower(), parse_params(params)


def _parts(body: bytes, boundary: str) -> list[tuple[str, bytes]]:
    """(type, content) of each part."""
    if not boundary:
        raise ProtocolError("multipart body without a boundary")
    delimiter = b"\r\n--" + boundary.encode("utf-8", "surrogateescape")
    _, *pieces = (b"\r\n" + body).split(delimiter, _MOST_PARTS + 1)
    found: list[tuple[str, bytes]] = []
    for piece in pieces:
        if piece.startswith(b"--"):
            return found
        head, ends, content = piece.partition(b"\r\n\r\n")
        if not ends:
            raise ProtocolError("part of a multipart body without a blank line after its headers")
        found.append((_part_type(head), content))
    raise ProtocolError(f"multipart body that boundary {boundary[:80]!r} does not end, within {_MOST_PARTS} parts")


def _part_type(head: bytes) -> str:
    for line in head.decode("utf-8", "surrogateescape").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() in ("content-type", "c"):
            return _content_type(value)[0]
    return ""
