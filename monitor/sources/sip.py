"""SIP messages (RFC 3261 7 and 25): bytes to a request or response, and back. Pure and total: else ProtocolError.

Text is UTF-8; bytes that are none are kept as surrogates, so that what is echoed is what came. Show it with `printable`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from monitor.errors import ProtocolError

VERSION = "SIP/2.0"
DEFAULT_PORT = 5060
_MOST_HEADERS = 256
_COMPACT = {
    "c": "content-type",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
}
"""RFC 3261 7.3.3 and 20, RFC 4028 4."""
_REQUEST_LINE = re.compile(r"([!%'*+.0-9A-Z_`a-z~-]{1,64}) (\S{1,2048}) SIP/2\.0")
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6]\d\d) ?(.*)")
_NAME = re.compile(r"[!-9;-~]{1,128}")
_DIGITS = re.compile(r"[0-9]{1,10}")
_BRANCH_COOKIE = "z9hG4bK"


@dataclass(frozen=True, slots=True)
class Headers:
    """Names in lower case and long form, in the order in which they came; a line that is no header has no name."""

    entries: tuple[tuple[str, str], ...]

    def first(self, name: str) -> str:
        """The first value of that name, empty where there is none."""
        return next((value for key, value in self.entries if key == name), "")

    def every(self, name: str) -> list[str]:
        """All values of a header that is a list, whether joined by commas or repeated."""
        values = (value for key, value in self.entries if key == name)
        return [part for value in values for part in map(str.strip, split_outside(value, ",")) if part]

    def count(self, name: str) -> int:
        """How often the header stands there."""
        return sum(key == name for key, _ in self.entries)


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks."""

    method: str
    uri: str
    headers: Headers
    body: bytes = b""

    @property
    def call_id(self) -> str:
        """The call to which it belongs, as the client names it."""
        return self.headers.first("call-id")

    @property
    def cseq(self) -> int:
        """Its number within the dialog; 0 where that cannot be read (see `fault`)."""
        number = self.headers.first("cseq").split()[:1]
        return int(number[0]) if number and _DIGITS.fullmatch(number[0]) else 0

    @property
    def sender_tag(self) -> str:
        """The client's half of the dialog's name."""
        return Address.parse(self.headers.first("from")).params.get("tag", "")

    @property
    def own_tag(self) -> str:
        """Our half, empty outside a dialog."""
        return Address.parse(self.headers.first("to")).params.get("tag", "")

    @property
    def via(self) -> "Via":
        """Its last hop. Raises ProtocolError where there is none."""
        vias = self.headers.every("via")
        if not vias:
            raise ProtocolError("SIP request without a Via: it cannot be answered")
        return Via.parse(vias[0])


@dataclass(frozen=True, slots=True)
class Response:
    """What was answered to a request of ours."""

    status: int
    reason: str
    headers: Headers
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Via:
    """One hop of a message's way (RFC 3261 18, RFC 3581)."""

    transport: str
    host: str
    port: int
    params: Mapping[str, str]

    @property
    def branch(self) -> str:
        """What tells transactions apart; empty where it is not RFC 3261's."""
        branch = self.params.get("branch", "")
        return branch if branch.startswith(_BRANCH_COOKIE) else ""

    @classmethod
    def parse(cls, text: str) -> "Via":
        """Raises ProtocolError."""
        sent, *params = split_outside(text, ";")
        for mark in "/:":  # blanks may stand around both
            sent = mark.join(map(str.strip, sent.split(mark)))
        words = sent.split()
        protocol = words[0].upper().split("/") if len(words) == 2 else []
        if len(protocol) != 3 or protocol[:2] != ["SIP", "2.0"]:
            raise ProtocolError(f"via must be SIP/2.0/TRANSPORT HOST, got {text[:80]!r}")
        host, port = split_host(words[1])
        return cls(protocol[2], host, port or DEFAULT_PORT, parse_params(params))


@dataclass(frozen=True, slots=True)
class Address:
    """A URI with a name and parameters, as in From, To, Contact and Record-Route (RFC 3261 20.10)."""

    name: str
    uri: str
    params: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Of any text: what is not there is empty."""
        before, opened, rest = _outside_quotes(text, "<")
        if not opened:
            uri, *params = split_outside(text, ";")
            return cls("", uri.strip(), parse_params(params))
        uri, _, tail = rest.partition(">")
        name = before.strip()
        if len(name) > 1 and name[0] == name[-1] == '"':
            name = re.sub(r"\\(.)", r"\1", name[1:-1])
        return cls(name, uri.strip(), parse_params(split_outside(tail, ";")))


@dataclass(frozen=True, slots=True)
class Uri:
    """The parts of a SIP or telephone URI that we use (RFC 3261 19.1, RFC 3966)."""

    scheme: str
    user: str
    """Of `tel:` the number."""
    host: str
    port: int
    """0 where none is given."""

    @classmethod
    def parse(cls, text: str) -> "Uri":
        """Of any text: what is not there is empty."""
        scheme, colon, rest = text.strip().partition(":")
        if not colon:
            return cls("", "", "", 0)
        rest = rest.partition("?")[0].partition(";")[0]
        if scheme.lower() == "tel":
            return cls("tel", rest, "", 0)
        user, _, where = rest.rpartition("@")
        host, port = split_host(where)
        return cls(scheme.lower(), user.partition(":")[0], host, port)

    def __str__(self) -> str:
        """Without port and parameters: the address of record."""
        return f"{self.scheme}:{self.user}{'@' if self.user and self.host else ''}{self.host}" if self.scheme else ""


def parse(data: bytes) -> Request | Response:
    """The message in `data`, which holds one and no more. Its body ends where Content-Length says.

    Raises ProtocolError where not even an answer could be made; see `fault` for the rest.
    """
    head, ends, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not ends:
        raise ProtocolError(f"no SIP message: expected headers that a blank line ends, got {data[:40]!r}")
    start, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    headers = _headers(lines)
    length = headers.first("content-length")
    body = body[: int(length)] if _DIGITS.fullmatch(length) else body
    if match := _REQUEST_LINE.fullmatch(start):
        return Request(match[1], match[2], headers, body)
    if match := _STATUS_LINE.fullmatch(start):
        return Response(int(match[1]), match[2], headers, body)
    raise ProtocolError(f"no SIP message: expected METHOD URI SIP/2.0, got {start[:60]!r}")


def _headers(lines: list[str]) -> Headers:
    entries: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in (" ", "\t") and entries:  # folded, RFC 3261 7.3.1
            name, value = entries[-1]
            entries[-1] = (name, f"{value} {line.strip()}".strip())
            continue
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t").lower()
        whole = colon and _NAME.fullmatch(name)
        entries.append((_COMPACT.get(name, name), value.strip(" \t")) if whole else ("", line))
        if len(entries) > _MOST_HEADERS:
            raise ProtocolError(f"more than {_MOST_HEADERS} SIP headers")
    return Headers(tuple(entries))


def fault(request: Request) -> str:
    """What is wrong with a request that can be answered, for the reason phrase of a 400; empty where nothing is."""
    if request.headers.count(""):
        return "A Line Is No Header"
    for name in ("from", "to", "call-id", "cseq"):
        if request.headers.count(name) != 1:
            return f"Expected One {name.title()} Header, Got {request.headers.count(name)}"
    words = request.headers.first("cseq").split()
    if words[1:] != [request.method] or not _DIGITS.fullmatch(words[0]) or int(words[0]) >= 2**31:
        return "CSeq Must Be A Number And The Method"
    if not request.call_id or not request.sender_tag:
        return "Call-ID And From Tag Must Not Be Empty"
    length = request.headers.first("content-length")
    if length and not _DIGITS.fullmatch(length):
        return "Content-Length Must Be A Number"
    if length and int(length) > len(request.body):
        return f"Content-Length Is {length}, Body Has {len(request.body)} Bytes"
    return ""


def response(
    request: Request,
    status: int,
    reason: str,
    *,
    came_from: tuple[str, int],
    own_tag: str = "",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> bytes:
    """The answer to `request` (RFC 3261 8.2.6), which came from that address and port (RFC 3581)."""
    lines = [f"{VERSION} {status} {reason}"]
    for number, value in enumerate(v for name, v in request.headers.entries if name == "via"):
        lines.append(f"Via: {value if number else _stamped(value, came_from)}")
    to = request.headers.first("to")
    lines += [
        f"From: {request.headers.first('from')}",
        f"To: {to}" if request.own_tag or not own_tag else f"To: {to};tag={own_tag}",
        f"Call-ID: {request.call_id}",
        f"CSeq: {request.headers.first('cseq')}",
    ]
    return _encoded(lines, headers, body)


def request(method: str, uri: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """A request of ours, without a body."""
    return _encoded([f"{method} {uri} {VERSION}"], headers, b"")


def _encoded(lines: list[str], headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    lines = [*lines, *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


def _stamped(via: str, came_from: tuple[str, int]) -> str:
    """The top Via with where it really came from: `received`, and `rport` where that was asked for."""
    top, comma, others = _outside_quotes(via, ",")
    kept = [part for part in split_outside(top, ";") if part.strip().partition("=")[0].strip().lower() != "received"]
    asked = [number for number, part in enumerate(kept) if part.strip().lower() == "rport"]
    for number in asked:
        kept[number] = f"rport={came_from[1]}"
    kept.append(f"received={came_from[0]}")
    return ";".join(part.strip() for part in kept) + comma + others


def sendable(text: str) -> str:
    """`text` of a message as text that can be sent on: bytes that are no UTF-8 become U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def split_outside(text: str, separator: str) -> list[str]:
    """`text` cut at a character wherever it stands outside quotes and angle brackets."""
    if separator not in text:
        return [text]
    if '"' not in text and "<" not in text:
        return text.split(separator)
    parts, start = [], 0
    for index in _outside(text, separator):
        parts.append(text[start:index])
        start = index + 1
    return [*parts, text[start:]]


def _outside_quotes(text: str, separator: str) -> tuple[str, str, str]:
    """Like `str.partition`, at the first one outside quotes (and outside angle brackets, where it is no bracket)."""
    index = next(iter(_outside(text, separator)), None)
    return (text, "", "") if index is None else (text[:index], separator, text[index + 1 :])


def _outside(text: str, separator: str) -> Iterable[int]:
    quoted = bracketed = escaped = False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted:
            escaped, quoted = character == "\\", character != '"'
        elif character == separator and not bracketed:
            yield index
            bracketed = character == "<"
        elif character == '"':
            quoted = True
        elif character in "<>":
            bracketed = character == "<"


def parse_params(parts: Iterable[str]) -> dict[str, str]:
    """`name=value` pieces by name in lower case; quotes are taken off, one without a value has the empty one."""
    params: dict[str, str] = {}
    for part in parts:
        name, _, value = part.partition("=")
        if name.strip():
            params.setdefault(name.strip().lower(), value.strip().strip('"'))
    return params


def host_and_port(host: str, port: int) -> str:
    """As in a URI or a Via; `split_host` takes it apart."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_host(text: str) -> tuple[str, int]:
    """Host (IPv6 without its brackets) and port of `host`, `host:port`, `[v6]` or `[v6]:port`; port 0 where none is."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    number = int(port) if re.fullmatch(r"[0-9]{1,5}", port) else 0
    return host.lower(), number if number <= 65_535 else 0
