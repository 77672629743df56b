import contextlib
import encodings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ProtocolError
from monitor.sources.recording_metadata import Metadata, Participant, parse_metadata
from tests.sip_texts import METADATA

ALICE, BOB = Participant("sip:alice@agents.example.com", "Alice"), Participant("tel:+15551234567", "Bob")


def parsed(text: str | bytes) -> Metadata:
    return parse_metadata(text.encode() if isinstance(text, str) else text, 10_000)


def test_each_stream_names_who_is_heard_on_it() -> None:
    found = parsed(METADATA)
    assert (found.senders("96"), found.senders("97"), found.senders("98")) == ((ALICE,), (BOB,), ())
    assert (found.session, found.partial) == ("hVpd7YQgRW2nD22h7q60JQ==", False)


@pytest.mark.parametrize("namespace", ["", ' xmlns="urn:ietf:params:xml:ns:recording"', ' xmlns="urn:other"'])
def test_the_namespace_does_not_matter(namespace: str) -> None:
    text = METADATA.replace(' xmlns="urn:ietf:params:xml:ns:recording:1"', namespace)
    assert parsed(text).senders("96") == (ALICE,)


def test_the_drafts_before_the_standard_are_understood() -> None:
    found = parsed(
        "<recording xmlns='urn:ietf:params:xml:ns:recording'><dataMode>complete</dataMode><session id='c1'/>"
        "<participant id='p1' session='c1'><nameID aor='sip:alice@agents.example.com'><name>Alice</name></nameID>"
        "<send>s1</send></participant>"
        "<participant id='p2' session='c1'><aor>tel:+15551234567</aor><name>Bob</name><send>s2</send></participant>"
        "<stream id='s1' session='c1'><label>96</label></stream><stream id='s2' session='c1'><label>97</label></stream>"
        "</recording>"
    )
    assert (found.session, found.senders("96"), found.senders("97")) == ("c1", (ALICE,), (BOB,))


def test_the_encoding_that_it_declares_is_not_looked_up() -> None:
    text = METADATA.replace("UTF-8", "made-up-encoding").replace("Bob", "Böb\udcff")
    found = parsed(text.encode("utf-8", "surrogateescape"))
    assert found.senders("97") == (Participant("tel:+15551234567", "Böb\ufffd"),)
    assert "made_up_encoding" not in encodings._cache


def test_partial_metadata_changes_what_it_names() -> None:
    later = parsed(
        "<recording><datamode> Partial </datamode><participant participant_id='p3'><nameID aor='sip:carol@x'/></participant>"
        "<participantstreamassoc participant_id='p1'/>"
        "<participantstreamassoc participant_id='p3'><send>s1</send></participantstreamassoc></recording>"
    )
    found = parsed(METADATA).updated(later)
    assert (found.senders("96"), found.senders("97")) == ((Participant("sip:carol@x"),), (BOB,))
    assert found.session == "hVpd7YQgRW2nD22h7q60JQ=="


def test_complete_metadata_replaces_what_was_known() -> None:
    assert parsed(METADATA).updated(parsed("<recording/>")).senders("96") == ()


def test_associations_of_one_stream_each_are_joined() -> None:
    text = METADATA.replace(
        '<participantstreamassoc participant_id="p2">',
        '<participantstreamassoc participant_id="p2"><send>s1</send></participantstreamassoc>'
        '<participantstreamassoc participant_id="p2">',
    )
    assert (parsed(text).senders("96"), parsed(text).senders("97")) == ((ALICE, BOB), (BOB,))


ENTITIES = '<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><recording>&b;</recording>'
OUTSIDE = '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><recording>&a;</recording>'


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "recording metadata cannot be read (ParseError: no element found"),
        ("<recording>", "recording metadata cannot be read (ParseError: no element found"),
        (ENTITIES, "recording metadata cannot be read (DTDForbidden"),
        (OUTSIDE, "recording metadata cannot be read (DTDForbidden"),
        ("<html/>", "recording metadata must be <recording>, got <html>"),
        ("<recording>" + " " * 10_000 + "</recording>", "recording metadata of 10023 bytes, at most 10000"),
        (
            "<recording>" + "<a>" * 40 + "</a>" * 40 + "</recording>",
            "recording metadata of more than 5000 elements or 32",
        ),
    ],
)
def test_what_is_no_metadata_is_refused(text: str, error: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parsed(text)
    assert str(caught.value).startswith(error)


@given(st.binary(max_size=300))
def test_any_bytes_are_metadata_or_our_error(data: bytes) -> None:
    for text in (data, b"<recording>" + data + b"</recording>", METADATA.encode().replace(b"alice", data)):
        with contextlib.suppress(ProtocolError):
            assert isinstance(parsed(text).senders("96"), tuple)
