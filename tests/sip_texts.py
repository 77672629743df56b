"""SIP messages as clients write them, for tests."""

SDP = """v=0
o=src 1 1 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio 46000 RTP/AVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=label:96
a=sendonly
m=audio 46002 RTP/AVP 8 0
a=rtpmap:8 PCMA/8000
a=label:97
a=sendonly
"""

METADATA = """<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="urn:ietf:params:xml:ns:recording:1">
 <datamode>complete</datamode>
 <session session_id="hVpd7YQgRW2nD22h7q60JQ=="/>
 <participant participant_id="p1"><nameID aor="sip:alice@agents.example.com"><name>Alice</name></nameID></participant>
 <participant participant_id="p2"><nameID aor="tel:+15551234567"><name>Bob</name></nameID></participant>
 <stream stream_id="s1" session_id="hVpd7YQgRW2nD22h7q60JQ=="><label>96</label></stream>
 <stream stream_id="s2" session_id="hVpd7YQgRW2nD22h7q60JQ=="><label>97</label></stream>
 <participantstreamassoc participant_id="p1"><send>s1</send><recv>s2</recv></participantstreamassoc>
 <participantstreamassoc participant_id="p2"><send>s2</send><recv>s1</recv></participantstreamassoc>
</recording>
"""

BOUNDARY = "rsb"


def crlf(text: str) -> bytes:
    """`text` with the line ends of the network."""
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode()


def both(sdp: str = SDP, metadata: str = METADATA, boundary: str = BOUNDARY) -> bytes:
    """A multipart body, the SDP without a Content-Disposition."""
    return crlf(
        f"--{boundary}\nContent-Type: application/sdp\n\n{sdp}\n"
        f"--{boundary}\nContent-Type: application/rs-metadata+xml\nContent-Disposition: recording-session\n\n"
        f"{metadata}\n--{boundary}--\n"
    )


def request(
    method: str = "INVITE",
    body: bytes = b"",
    *headers: str,
    kind: str = f"multipart/mixed;boundary={BOUNDARY}",
    call: str = "call-1@client",
    cseq: int = 1,
    to_tag: str = "",
    branch: str = "",
    port: int = 5061,
    transport: str = "UDP",
) -> bytes:
    """A request of a recording client at 127.0.0.1:`port`."""
    tag = f";tag={to_tag}" if to_tag else ""
    lines = [
        f"{method} sip:srs@127.0.0.1 SIP/2.0",
        f"Via: SIP/2.0/{transport} 127.0.0.1:{port};branch={branch or f'z9hG4bK-{call}-{cseq}-{method}'}",
        "From: <sip:src@127.0.0.1>;tag=client",
        f"To: <sip:srs@127.0.0.1>{tag}",
        f"Call-ID: {call}",
        f"CSeq: {cseq} {method}",
        f"Contact: <sip:src@127.0.0.1:{port}>;+sip.src",
        "Max-Forwards: 70",
        *headers,
        *([f"Content-Type: {kind}"] if body else []),
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body
