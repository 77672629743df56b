import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ProtocolError
from monitor.sources import sip
from monitor.sources.sip import Address, Headers, Request, Response, Uri, Via
from tests.sip_texts import both, crlf, request

TORTUOUS = rb"""INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0
TO :
 sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n
from   : "J Rosenberg \\\""       <sip:jdrosen@example.com>
  ;
  tag = 98asjd8
MaX-fOrWaRdS: 0068
Call-ID: wsinv.ndaksdj@192.0.2.1
CSeq: 0009
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.2;branch=390skdjuw
s :
NewFangledHeader:   newfangled value
 continued newfangled value
v:  SIP  / 2.0  / TCP     spindle.example.com   ;
  branch  =   z9hG4bK9ikj8  ,
 SIP  /    2.0   / UDP  192.168.255.111   ; branch=
 z9hG4bK30239
m:"Quoted string \"\"" <sip:jdrosen@example.com> ; newparam =
      newvalue ;
  secondparam ; q = 0.33
l: 0

""".replace(b"\n", b"\r\n")
"""A legal INVITE as crooked as RFC 4475 3.1.1.1 can make it."""


def parsed(data: bytes) -> Request:
    message = sip.parse(data)
    assert isinstance(message, Request)
    return message


def test_a_message_that_is_as_crooked_as_the_standard_allows_is_understood() -> None:
    message = parsed(TORTUOUS)
    assert (message.method, message.call_id, message.cseq) == ("INVITE", "wsinv.ndaksdj@192.0.2.1", 9)
    assert (message.sender_tag, message.own_tag) == ("98asjd8", "1918181833n")
    assert sip.fault(message) == ""
    vias = [Via.parse(text) for text in message.headers.every("via")]
    assert [(via.transport, via.host, via.branch) for via in vias] == [
        ("UDP", "192.0.2.2", ""),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    contact = Address.parse(message.headers.first("contact"))
    assert (contact.name, contact.uri) == ('Quoted string ""', "sip:jdrosen@example.com")
    assert contact.params == {"newparam": "newvalue", "secondparam": "", "q": "0.33"}


def test_the_body_ends_where_its_length_says() -> None:
    message = parsed(request("INVITE", b"v=0\r\n") + b"more")
    assert message.body == b"v=0\r\n"


def test_commas_within_quotes_and_brackets_part_nothing() -> None:
    headers = Headers((("record-route", '<sip:a,b@h;lr>, "x, y" <sip:c>'), ("record-route", "<sip:d>")))
    assert headers.every("record-route") == ["<sip:a,b@h;lr>", '"x, y" <sip:c>', "<sip:d>"]


def test_a_response_echoes_what_it_must_and_says_where_the_request_came_from() -> None:
    text = request("OPTIONS").replace(b"branch=", b"rport;branch=")
    answer = sip.parse(sip.response(parsed(text), 200, "OK", came_from=("127.0.0.9", 777), own_tag="mine", body=b"x"))
    assert isinstance(answer, Response)
    assert (answer.status, answer.reason, answer.body) == (200, "OK", b"x")
    assert answer.headers.first("via") == (
        "SIP/2.0/UDP 127.0.0.1:5061;rport=777;branch=z9hG4bK-call-1@client-1-OPTIONS;received=127.0.0.9"
    )
    assert answer.headers.first("to") == "<sip:srs@127.0.0.1>;tag=mine"
    assert answer.headers.first("cseq") == "1 OPTIONS"


def test_only_the_first_of_the_vias_is_stamped_and_all_are_sent_back() -> None:
    answer = sip.parse(sip.response(parsed(TORTUOUS), 200, "OK", came_from=("127.0.0.1", 5060)))
    vias = answer.headers.every("via")
    assert [("received" in via) for via in vias] == [True, False, False]


def test_bytes_that_are_no_text_come_back_as_they_were() -> None:
    text = request("OPTIONS").replace(b"call-1@client", b"\xff\xfe@client")
    answer = sip.response(parsed(text), 200, "OK", came_from=("127.0.0.1", 5060))
    assert b"Call-ID: \xff\xfe@client\r\n" in answer


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (b"Call-ID: call-1@client", b"X: y", "Expected One Call-Id Header, Got 0"),
        (b"Max-Forwards: 70", b"To: <sip:b>", "Expected One To Header, Got 2"),
        (b"CSeq: 1 INVITE", b"CSeq: 1 BYE", "CSeq Must Be A Number And The Method"),
        (b"CSeq: 1 INVITE", b"CSeq: 4294967296 INVITE", "CSeq Must Be A Number And The Method"),
        (b"CSeq: 1 INVITE", b"CSeq:", "CSeq Must Be A Number And The Method"),
        (b";tag=client", b"", "Call-ID And From Tag Must Not Be Empty"),
        (b"Content-Length: 0", b"Content-Length: many", "Content-Length Must Be A Number"),
        (b"Content-Length: 0", b"Content-Length: 9", "Content-Length Is 9, Body Has 0 Bytes"),
        (b"Max-Forwards: 70", b"Max-Forwards", "A Line Is No Header"),
        (b"Max-Forwards: 70", b"Max-Forwards: 70", ""),
    ],
)
def test_what_is_wrong_with_a_request_is_named(before: bytes, after: bytes, reason: str) -> None:
    assert sip.fault(parsed(request().replace(before, after))) == reason


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"SIP/2.0 99 No\r\n\r\n", b"\0" * 200])
def test_what_is_no_sip_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="no SIP message: expected"):
        sip.parse(data)


def test_more_headers_than_anybody_needs_are_refused() -> None:
    with pytest.raises(ProtocolError, match="more than 256 SIP headers"):
        sip.parse(b"OPTIONS sip:a SIP/2.0\r\n" + b"X: y\r\n" * 300 + b"\r\n")


@pytest.mark.parametrize(
    ("text", "uri", "aor"),
    [
        (
            "sip:alice@example.com:5070;user=phone?x=y",
            Uri("sip", "alice", "example.com", 5070),
            "sip:alice@example.com",
        ),
        ("tel:+1555;phone-context=x", Uri("tel", "+1555", "", 0), "tel:+1555"),
        ("sips:alice:secret@[2001:db8::1]:5061", Uri("sips", "alice", "2001:db8::1", 5061), "sips:alice@2001:db8::1"),
        ("sip:example.com", Uri("sip", "", "example.com", 0), "sip:example.com"),
        ("nonsense", Uri("", "", "", 0), ""),
    ],
)
def test_uris_come_apart(text: str, uri: Uri, aor: str) -> None:
    assert (Uri.parse(text), str(Uri.parse(text))) == (uri, aor)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 5060), ("2001:db8::1", 5061), ("example.com", 1)])
def test_hosts_and_ports_come_apart_as_they_were_put_together(host: str, port: int) -> None:
    assert sip.split_host(sip.host_and_port(host, port)) == (host, port)


@given(st.binary(max_size=400))
def test_any_bytes_give_a_message_or_our_error(data: bytes) -> None:
    for text in (data, b"INVITE sip:a SIP/2.0\r\n" + data + b"\r\n\r\n", request().replace(b"client", data)):
        use_everything_of(text)


def use_everything_of(data: bytes) -> None:
    """All that is read of a message before it is known to be sound."""
    try:
        message = sip.parse(data)
        if isinstance(message, Response):
            return
        assert isinstance(message.via.branch, str)
        answer = sip.response(message, 400, sip.fault(message) or "No", came_from=("127.0.0.1", 5060), own_tag="t")
        for name in ("contact", "record-route", "to", "from"):
            for text in message.headers.every(name):
                Uri.parse(Address.parse(text).uri)
    except ProtocolError:
        return
    assert isinstance(sip.parse(answer), Response)


@given(st.text(max_size=200))
def test_addresses_and_uris_are_read_of_any_text(text: str) -> None:
    address = Address.parse(text)
    assert isinstance(str(Uri.parse(address.uri)), str)
    assert ",".join(sip.split_outside(text, ",")) == text


def test_long_blanks_and_quotes_cost_no_more_than_their_length() -> None:
    for filler in (b" ", b'"', b"<", b",", b";", b"\\", b":", b"/"):
        use_everything_of(request().replace(b"<sip:src@127.0.0.1>", b"a" + filler * 60_000 + b"b"))
        use_everything_of(request().replace(b"SIP/2.0/UDP", b"SIP/2.0/UDP" + filler * 60_000))


def test_the_texts_of_these_tests_are_sound() -> None:
    message = parsed(request("INVITE", both()))
    assert (sip.fault(message), message.body) == ("", both())
    assert crlf("a\nb") == b"a\r\nb"
