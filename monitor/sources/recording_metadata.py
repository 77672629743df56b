"""Recording metadata: who takes part in a recorded call, and on which stream each is heard (RFC 7865). Pure and total.

Read by defusedxml: no entities, no outside references. Namespaces are passed over, since clients differ in them, and the
drafts before the RFC are understood too: `id` for every id, `aor` and `send` within the participant, `dataMode`.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import defusedxml.ElementTree
from defusedxml import DefusedXmlException

from monitor.errors import ProtocolError

_MOST_ELEMENTS = 5_000
_MOST_DEPTH = 32
_MOST_TEXT = 512
"""Characters of an identity or id that are kept."""


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody in the call."""

    aor: str
    """Address of record: `sip:agent@example.com`, `tel:+15551234567`; empty where it is not told."""
    name: str = ""

    @property
    def identity(self) -> str:
        """The address, else the name."""
        return self.aor or self.name


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is known about a recorded call; later metadata is put upon it by `updated`."""

    partial: bool = False
    """Whether it holds only what has changed (`datamode`, RFC 7865 6.1)."""
    session: str = ""
    """Id of the communication session."""
    participants: Mapping[str, Participant] = field(default_factory=dict)
    """By id."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Stream id → label of its m-line."""
    sends: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Participant id → ids of the streams on which they are heard."""

    def updated(self, later: "Metadata") -> "Metadata":
        """What is known after `later`: all anew where it is complete, else this with its changes."""
        if not later.partial:
            return later
        return Metadata(
            partial=False,
            session=later.session or self.session,
            participants={**self.participants, **later.participants},
            labels={**self.labels, **later.labels},
            sends={**self.sends, **later.sends},
        )

    def senders(self, label: str) -> tuple[Participant, ...]:
        """Who is heard on the m-line with that label."""
        streams = {stream for stream, its_label in self.labels.items() if its_label == label}
        ids = [who for who, sent in self.sends.items() if streams & set(sent)]
        return tuple(self.participants[who] for who in ids if who in self.participants)


def parse_metadata(body: bytes, most_bytes: int) -> Metadata:
    """Raises ProtocolError for what is no XML, has entities, is too long, or is no recording metadata."""
    if len(body) > most_bytes:
        raise ProtocolError(
            f"recording metadata of {len(body)} bytes, at most {most_bytes}: raise siprec.metadata_bytes"
        )
    # As text, whatever encoding it declares: Python remembers the name of each that it does not know, for ever.
    text = body.decode("utf-8", "replace").strip()
    try:
        root = defusedxml.ElementTree.fromstring(text, forbid_dtd=True)
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise ProtocolError(f"recording metadata cannot be read ({type(error).__name__}: {error})") from error
    if _name(root) != "recording":
        raise ProtocolError(f"recording metadata must be <recording>, got <{_name(root)[:40]}>")
    _check_size(root)
    return Metadata(
        partial=_text_of(root, "datamode").lower() == "partial",
        session=next((_id(one, "session_id") for one in _children(root, "session")), ""),
        participants={_id(one, "participant_id"): _participant(one) for one in _children(root, "participant")},
        labels={_id(one, "stream_id"): _text_of(one, "label") for one in _children(root, "stream")},
        sends=_sends(root),
    )


def _check_size(root: ElementTree.Element) -> None:
    level, count = [root], 0
    for _ in range(_MOST_DEPTH):
        count += len(level)
        level = [child for element in level for child in element]
        if not level or count > _MOST_ELEMENTS:
            break
    if level:
        raise ProtocolError(f"recording metadata of more than {_MOST_ELEMENTS} elements or {_MOST_DEPTH} levels")


def _participant(element: ElementTree.Element) -> Participant:
    for name_id in _children(element, "nameid"):
        return Participant(_id(name_id, "aor"), _text_of(name_id, "name"))
    return Participant(_text_of(element, "aor"), _text_of(element, "name"))


def _sends(root: ElementTree.Element) -> dict[str, tuple[str, ...]]:
    """Some clients write one association a stream: they are joined."""
    found: dict[str, tuple[str, ...]] = {}
    in_drafts = (one for one in _children(root, "participant") if _text_of(one, "send"))
    for one in (*in_drafts, *_children(root, "participantstreamassoc")):
        who = _id(one, "participant_id")
        sent = tuple(_text(send) for send in _children(one, "send"))
        found[who] = found.get(who, ()) + sent
    return found


def _children(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (child for child in element if _name(child) == name)


def _name(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2].lower()


def _text_of(element: ElementTree.Element, name: str) -> str:
    return next((_text(child) for child in _children(element, name)), "")


def _text(element: ElementTree.Element) -> str:
    return (element.text or "").strip()[:_MOST_TEXT]


def _id(element: ElementTree.Element, name: str) -> str:
    return element.get(name, element.get("id", "")).strip()[:_MOST_TEXT]
