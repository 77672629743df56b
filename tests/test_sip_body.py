import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ProtocolError
from monitor.sources.sip import Headers
from monitor.sources.sip_body import Body, UnsupportedBodyError, parse_body
from tests.sip_texts import METADATA, SDP, both, crlf


def body_of(kind: str, body: bytes, encoding: str = "") -> Body:
    return parse_body(Headers((("content-type", kind), ("content-encoding", encoding))), body)


@pytest.mark.parametrize(
    "kind",
    ["multipart/mixed;boundary=b-1", 'Multipart/Mixed ; charset=x; boundary="b-1"', "multipart/mixed;Boundary=b-1"],
)
def test_both_parts_are_found_whatever_the_boundary_looks_like(kind: str) -> None:
    found = body_of(kind, both(boundary="b-1"))
    assert found == Body(crlf(SDP), crlf(METADATA))


def test_the_other_name_of_metadata_and_foreign_parts_are_taken() -> None:
    text = both().replace(b"rs-metadata+xml", b"rs-metadata")
    text = b"--rsb\r\nContent-Type: text/plain\r\n\r\nhello\r\n" + text
    assert body_of("multipart/mixed;boundary=rsb", b"preamble\r\n" + text).metadata == crlf(METADATA)


def test_one_kind_alone_needs_no_parts() -> None:
    assert body_of("application/sdp; charset=utf-8", b"v=0") == Body(sdp=b"v=0")
    assert body_of("application/rs-metadata+xml", b"<a/>") == Body(metadata=b"<a/>")
    assert body_of("", b"\r\n") == Body()


@pytest.mark.parametrize(("kind", "encoding"), [("text/plain", ""), ("", ""), ("application/sdp", "gzip")])
def test_other_kinds_are_named_as_unsupported(kind: str, encoding: str) -> None:
    with pytest.raises(UnsupportedBodyError, match="body must be one of application/sdp, application/rs-metadata"):
        body_of(kind, b"x", encoding)


@pytest.mark.parametrize(
    ("kind", "body", "error"),
    [
        ("multipart/mixed", both(), "multipart body without a boundary"),
        ("multipart/mixed;boundary=other", both(), "multipart body that boundary 'other' does not end"),
        ("multipart/mixed;boundary=rsb", both()[:-8], "multipart body that boundary 'rsb' does not end"),
        ("multipart/mixed;boundary=rsb", b"--rsb\r\nx\r\n--rsb--", "part of a multipart body without a blank line"),
        ("multipart/mixed;boundary=b", b"--b\r\n\r\nx\r\n" * 20 + b"--b--", "does not end, within 16 parts"),
    ],
)
def test_parts_that_cannot_be_told_apart_are_refused(kind: str, body: bytes, error: str) -> None:
    with pytest.raises(ProtocolError, match=error):
        body_of(kind, body)


@given(st.text(max_size=40), st.binary(max_size=200))
def test_any_body_is_a_value_or_our_error(kind: str, body: bytes) -> None:
    for one in (kind, "multipart/mixed;boundary=b" + kind, 'multipart/mixed;boundary="' + kind):
        with contextlib.suppress(ProtocolError):
            assert isinstance(body_of(one, b"--b\r\n" + body), Body)
