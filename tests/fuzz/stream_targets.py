"""What comes over websockets and from Asterisk: messages, whole connections, signatures."""

import base64
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal

from monitor.errors import AccessError, CallmoodError
from monitor.identities import Identities
from monitor.settings import AsteriskSettings, AudioHookSettings, AudioSocketSettings, Settings, TwilioSettings
from monitor.sources import BlockQueue, CallNames
from monitor.sources.asterisk import Asterisk
from monitor.sources.asterisk_messages import MediaStart
from monitor.sources.asterisk_messages import codec_of as asterisk_codec
from monitor.sources.asterisk_messages import parse_message as parse_asterisk
from monitor.sources.audiohook import AudioHook
from monitor.sources.audiohook_messages import parse_duration_s, parse_message, parse_open
from monitor.sources.audiohook_signature import Verifier
from monitor.sources.audiosocket_frames import Framer
from monitor.sources.audiosocket_parties import Directory, parse_table
from monitor.sources.audiosocket_session import AudioSocketSession, Terms
from monitor.sources.complaints import Complaints
from monitor.sources.streams import Session, Upgrade
from monitor.sources.switchboard import Switchboard
from monitor.sources.twilio import Twilio
from monitor.sources.twilio_messages import Start, codec_of
from monitor.sources.twilio_messages import parse_message as parse_twilio
from monitor.sources.twilio_signature import check_request
from tests.fuzz.mutation import Target

_CONVERSATION = "090eaa2f-72fa-480a-83e0-8667ff89c0ec"
_SESSION = "e160e428-53e2-487c-977d-96989bf5c99d"
_SECRET = base64.b64encode(b"secret").decode()


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _twilio() -> list[bytes]:
    media_format = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    start = {"streamSid": "MZ1", "callSid": "CA1", "tracks": ["inbound", "outbound"], "mediaFormat": media_format}
    payload = base64.b64encode(bytes(160)).decode()
    media = {"track": "inbound", "chunk": "2", "timestamp": "20", "payload": payload}
    return [
        _json({"event": "connected", "protocol": "Call", "version": "1.0.0"}),
        _json({"event": "start", "sequenceNumber": "1", "start": {**start, "customParameters": {"call": "7"}}}),
        _json({"event": "start", "stream_id": "32", "start": {"call_control_id": "v2", "media_format": media_format}}),
        _json(
            {"event": "start", "start": {"media_format": {"encoding": "audio/L16;rate=16000", "sample_rate": "8000"}}}
        ),
        _json({"event": "media", "sequenceNumber": "2", "media": media, "streamSid": "MZ1"}),
        _json({"event": "media", "media": {**media, "track": "outbound", "chunk": 9, "timestamp": 160}}),
        _json({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "1"}}),
        _json({"event": "stop", "sequenceNumber": "9", "stop": {"callSid": "CA1"}}),
    ]


def _audiohook() -> list[bytes]:
    media = [{"type": "audio", "format": "PCMU", "channels": ["external", "internal"], "rate": 8000}]
    participant = {"id": _SESSION, "ani": "+1-555-555-1234", "aniName": "John Doe", "dnis": "+1"}
    opening = {
        "organizationId": _CONVERSATION,
        "conversationId": _CONVERSATION,
        "participant": participant,
        "media": media,
        "language": "en-US",
        "customConfig": {"agent": "4711"},
        "continuedSessions": [{"id": _SESSION, "serverseq": 1, "clientseq": 1}],
    }
    said = [
        ("open", opening),
        ("ping", {"rtt": "PT0.02S"}),
        ("discarded", {"start": "PT1.5S", "discarded": "PT2.0S"}),
        ("paused", {}),
        ("resumed", {"start": "PT3S", "discarded": "PT1S"}),
        ("update", {"language": "es-ES"}),
        ("error", {"code": 429, "message": "too fast"}),
        ("close", {"reason": "end"}),
    ]
    common = {"version": "2", "id": _SESSION, "serverseq": 0, "position": "PT0S"}
    return [
        _json({**common, "type": kind, "seq": number, "parameters": parameters})
        for number, (kind, parameters) in enumerate(said, 1)
    ]


def _parsed_twilio(data: bytes) -> object:
    message = parse_twilio(data)
    order: Literal["big", "little"] = "big" if len(data) % 2 else "little"
    return codec_of(message, order) if isinstance(message, Start) else message


def _parsed_audiohook(data: bytes) -> object:
    message = parse_message(data)
    if message.type == "open":
        return parse_open(message.parameters)
    if message.type == "discarded":
        return parse_duration_s(message.parameters.get("start"))
    return message


class _Line:
    def say(self, _: str) -> None: ...

    def hang_up(self, code: int, reason: str) -> None:
        assert 1000 <= code < 5000, reason


def _connection(make: Callable[[Switchboard], Session]) -> Callable[[bytes], object]:
    """All that a connection says, a message a line; a line that begins with a null byte is a binary one."""

    def parse(data: bytes) -> object:
        queue = BlockQueue(1)
        switchboard = Switchboard(queue, CallNames(), Identities(show=False), 0.2, 100)
        session = make(switchboard)
        now_s, fault = 0.0, None
        for line in data.split(b"\n"):
            now_s += 0.02
            try:
                if line[:1] == b"\x00":
                    session.binary(line[1:], now_s)
                else:
                    session.text(line, now_s)
            except CallmoodError as error:
                session.fail(error, now_s)
                fault = error
        switchboard.tick(now_s)
        session.gone("", now_s)
        switchboard.tick(now_s + 60)
        assert switchboard.calls == 0
        if fault is not None:
            raise fault
        return queue.take(0)

    return parse


_UPGRADE = Upgrade("/x?call=7", {"host": "localhost", "audiohook-session-id": _SESSION}, "127.0.0.1")
_TWILIO = Twilio(Settings(twilio=TwilioSettings()))
_AUDIOHOOK = AudioHook(Settings(audiohook=AudioHookSettings()))
_ASTERISK_DIALECT = Asterisk(Settings(asterisk=AsteriskSettings()))


def _headers(data: bytes) -> Mapping[str, str]:
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    pairs = (line.partition(": ") for line in lines[1:])
    return {name.lower(): value for name, _, value in pairs if name}


def _verified(data: bytes) -> object:
    upgrade = Upgrade(data.split(b"\n")[0].decode("utf-8", "surrogateescape"), _headers(data), "127.0.0.1")
    verifier = Verifier({"key": b"secret"}, "", lambda: 1_700_000_000.0)
    try:
        verifier.check(upgrade)
    except AccessError as error:
        return str(error)
    return "good"


def _signed(data: bytes) -> object:
    upgrade = Upgrade(data.split(b"\n")[0].decode("utf-8", "surrogateescape"), _headers(data), "127.0.0.1")
    try:
        check_request(upgrade, "", ["token"], ["shown"])
    except AccessError as error:
        return str(error)
    return "good"


_HANDSHAKE = b"""/audiohook?x=1
Host: hook.example.com:443
Audiohook-Organization-Id: d7934305-0972-4844-938e-9060eef73d05
Audiohook-Session-Id: e160e428-53e2-487c-977d-96989bf5c99d
Audiohook-Correlation-Id: 30b0e395-84d3-4570-ac13-9a62d8f514c0
X-API-KEY: key
Signature-Input: sig1=("@request-target" "@authority" "audiohook-organization-id" "audiohook-session-id" \
"audiohook-correlation-id" "x-api-key");keyid="key";nonce="VGhpc0lzQVVuaXF1ZU5vbmNl";alg="hmac-sha256";\
created=1700000000;expires=1700000010
Signature: sig1=:NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDuJh4=:"""
_UPGRADES = [
    b"/twilio\nHost: calls.example.com\nX-Twilio-Signature: 0/KCTR6DLpKmkAf8muzZqo1nDgQ=",
    b"/twilio/?token=shown&x=%20\nHost: [::1]:8766\nAuthorization: Basic a2V5OnNob3du",
    b"/twilio\nHost: a:443\nX-Twilio-Signature: AAAA\nX-Twilio-Webhooks-Signature-Settings: key=1,algorithm=HMAC_SHA256",
]


_ASTERISK = [
    b"MEDIA_START connection_id:callmood channel:WebSocket/callmood/0x1 channel_id:1764.7 format:ulaw ptime:20",
    b'{"event":"MEDIA_START","channel_id":"1764.7","format":"slin16","channel_variables":{"CALLMOOD_PARTY":"agent"}}',
    b"DTMF_END digit:5 channel_id:1764.7",
    b"ERROR channel_id:1764.7 error_text:no such command",
    b'{"event":"MEDIA_XOFF","channel_id":"1764.7"}',
]
_UUID_FRAME = b"\x01\x00\x10" + bytes(15) + b"\x01"
_AUDIO_FRAME = b"\x10\x01\x40" + 160 * b"\x00\x10"
_AUDIOSOCKET = [
    _UUID_FRAME + 3 * _AUDIO_FRAME + b"\x03\x00\x015" + b"\x12\x02\x80" + bytes(640) + b"\x00\x00\x00",
    _UUID_FRAME + _AUDIO_FRAME + _UUID_FRAME + b"\x18\x00\x04abcd" + b"\xff\x00\x01\x02",
]
_SOCKET_SETTINGS = AudioSocketSettings(pairing="last_digit")
_QUIET = Complaints(logging.getLogger(__name__), lambda: 0.0)
_DIRECTORY = Directory(_SOCKET_SETTINGS, _QUIET)


def _parsed_asterisk(data: bytes) -> object:
    message = parse_asterisk(data)
    return asterisk_codec(message.format) if isinstance(message, MediaStart) else message


def _audiosocket(data: bytes) -> object:
    """All that comes by a connection, in two pieces."""
    queue = BlockQueue(1)
    switchboard = Switchboard(queue, CallNames(), Identities(show=False), 0.02, 100)
    session = AudioSocketSession(Terms(_SOCKET_SETTINGS, _DIRECTORY, switchboard, _QUIET), lambda: None, 0.0)
    framer, fault = Framer(_SOCKET_SETTINGS.frame_bytes), None
    for now_s, piece in enumerate((data[: len(data) // 3], data[len(data) // 3 :]), 1):
        try:
            for frame in framer.feed(piece):
                session.frame(frame, float(now_s))
            session.tick(float(now_s))
        except CallmoodError as error:
            session.fail(error, float(now_s))
            fault = error
            break
    switchboard.tick(2.0)
    session.gone("", 2.0)
    switchboard.tick(3.0)
    assert switchboard.calls == 0
    if fault is not None:
        raise fault
    return queue.take(0)


def targets() -> list[Target]:
    """By the layers of the websocket sources, and AudioSocket's."""
    twilio, audiohook = _twilio(), _audiohook()
    spoken = [b"\n".join([*audiohook[:1], b"\x00" + bytes(320), *audiohook[1:]]), b"\n".join(audiohook[:3])]
    return [
        Target("twilio message", twilio, _parsed_twilio),
        Target(
            "twilio connection",
            [b"\n".join(twilio[:2] + 3 * twilio[4:6]), b"\n".join([twilio[2], *(2 * twilio[4:6]), twilio[7]])],
            _connection(lambda switchboard: _TWILIO.open(_UPGRADE, _Line(), switchboard, 0.0)),
        ),
        Target("twilio credentials", _UPGRADES, _signed),
        Target("audiohook message", audiohook, _parsed_audiohook),
        Target(
            "audiohook connection",
            spoken,
            _connection(lambda switchboard: _AUDIOHOOK.open(_UPGRADE, _Line(), switchboard, 0.0)),
        ),
        Target("audiohook signature", [_HANDSHAKE], _verified),
        Target("asterisk message", _ASTERISK, _parsed_asterisk),
        Target(
            "asterisk connection",
            [
                b"\n".join([_ASTERISK[0], b"\x00" + bytes(160), *_ASTERISK[2:]]),
                b"\n".join([_ASTERISK[1], b"\x00" + bytes(640)]),
            ],
            _connection(lambda switchboard: _ASTERISK_DIALECT.open(_UPGRADE, _Line(), switchboard, 0.0)),
        ),
        Target("audiosocket connection", _AUDIOSOCKET, _audiosocket),
        Target(
            "audiosocket parties",
            [b"00000000-0000-0000-0000-000000000042 call=case%207&party=agent&agent=4711\n# of today\n"],
            lambda data: parse_table(data.decode("utf-8", "replace").splitlines(), "table"),
        ),
    ]
