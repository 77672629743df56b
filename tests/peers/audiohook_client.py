"""A Genesys Cloud AudioHook client as the protocol's documents describe it; it knows nothing of callmood.

https://developer.genesys.cloud/devapps/audiohook/protocol-reference; signatures by the package `http-message-signatures`.
"""

import asyncio
import base64
import datetime
import json
import secrets
import uuid
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver
from http_message_signatures.algorithms import HMAC_SHA256
from websockets.asyncio.client import ClientConnection, connect

API_KEY = "SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh"
SECRET = base64.b64encode(b"TXkgY2xpZW50IHNlY3JldCBpcyB2ZXJ5").decode()
ORGANIZATION = "d7934305-0972-4844-938e-9060eef73d05"
NOBODY = "00000000-0000-0000-0000-000000000000"
SIGNED = (
    "@request-target",
    "@authority",
    "audiohook-organization-id",
    "audiohook-session-id",
    "audiohook-correlation-id",
    "x-api-key",
)
STEREO = {"type": "audio", "format": "PCMU", "channels": ["external", "internal"], "rate": 8000}
OFFER = [
    STEREO,
    {"type": "audio", "format": "PCMU", "channels": ["external"], "rate": 8000},
    {"type": "audio", "format": "PCMU", "channels": ["internal"], "rate": 8000},
]


class _Keys(HTTPSignatureKeyResolver):
    def __init__(self, secret: str) -> None:
        self._secret = base64.b64decode(secret)

    def resolve_private_key(self, _: str) -> bytes:
        return self._secret

    def resolve_public_key(self, _: str) -> bytes:
        return self._secret


def request_headers(session: str, key: str = API_KEY, organization: str = ORGANIZATION) -> dict[str, str]:
    """Those of every handshake."""
    return {
        "Audiohook-Organization-Id": organization,
        "Audiohook-Session-Id": session,
        "Audiohook-Correlation-Id": str(uuid.uuid4()),
        "X-API-KEY": key,
    }


def sign(
    headers: dict[str, str],
    url: str,
    secret: str = SECRET,
    *,
    nonce: str | None = None,
    age_s: float = 0.0,
    lasts_s: float = 10.0,
    covered: tuple[str, ...] = SIGNED,
    key: str | None = None,
) -> dict[str, str]:
    """`headers` with a signature for a handshake at `url` (ws or wss)."""
    signer = HTTPMessageSigner(signature_algorithm=HMAC_SHA256, key_resolver=_Keys(secret))
    message = SimpleNamespace(method="GET", url=url.replace("ws", "http", 1), headers=dict(headers))
    created = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=age_s)
    signer.sign(
        message,
        key_id=key or headers["X-API-KEY"],
        created=created,
        expires=created + datetime.timedelta(seconds=lasts_s),
        nonce=nonce or base64.b64encode(secrets.token_bytes(32)).decode(),
        label="sig1",
        covered_component_ids=covered,
    )
    return dict(message.headers)


class Client:
    """One session."""

    def __init__(self, connection: ClientConnection, session: str, organization: str = ORGANIZATION) -> None:
        self.connection, self.session, self.organization = connection, session, organization
        self.seq = self.serverseq = 0
        self.position = 0
        """Samples."""

    async def send(self, kind: str, parameters: Mapping[str, Any], **changes: Any) -> None:
        """One message."""
        self.seq += 1
        message = {
            "version": "2",
            "id": self.session,
            "type": kind,
            "seq": self.seq,
            "serverseq": self.serverseq,
            "position": f"PT{self.position / 8_000:g}S",
            "parameters": parameters,
        }
        await self.connection.send(json.dumps(message | changes))

    async def receive(self, within_s: float = 5.0) -> dict[str, Any]:
        """The next message of the server, which must count rightly."""
        async with asyncio.timeout(within_s):
            text = await self.connection.recv()
        assert isinstance(text, str), "the server never sends binary messages"
        message: dict[str, Any] = json.loads(text)
        self.serverseq += 1
        assert (message["version"], message["id"], message["seq"]) == ("2", self.session, self.serverseq)
        assert message["clientseq"] <= self.seq
        return message

    async def open(self, media: Any = None, **parameters: Any) -> dict[str, Any]:
        """Opens; the answer, whatever it is."""
        participant = {
            "id": str(uuid.uuid4()),
            "ani": "+1-555-555-1234",
            "aniName": "John Doe",
            "dnis": "+1-800-555-6789",
        }
        common = {
            "organizationId": self.organization,
            "conversationId": "090eaa2f-72fa-480a-83e0-8667ff89c0ec",
            "participant": participant,
            "media": OFFER if media is None else media,
        }
        await self.send("open", common | parameters)
        return await self.receive()

    async def play(self, data: bytes, sample_bytes: int, piece: int = 800, pace: bool = False) -> None:
        """Audio, `sample_bytes` for all channels of a sample, `piece` samples a message."""
        for at in range(0, len(data), piece * sample_bytes):
            part = data[at : at + piece * sample_bytes]
            await self.connection.send(part)
            self.position += len(part) // sample_bytes
            if pace:
                await asyncio.sleep(len(part) / sample_bytes / 8_000)

    async def ping(self) -> dict[str, Any]:
        await self.send("ping", {"rtt": "PT0.02S"})
        return await self.receive()

    async def close(self, reason: str = "end") -> dict[str, Any]:
        """The close transaction, then the connection's end."""
        await self.send("close", {"reason": reason})
        answer = await self.receive()
        await self.connection.close()
        return answer


async def dial(url: str, headers: Mapping[str, str] | None = None, session: str = "") -> Client:
    """A connection, by default with the headers of an unsigned handshake."""
    session = session or str(uuid.uuid4())
    headers = request_headers(session) if headers is None else headers
    connection = await connect(url, additional_headers=headers, compression=None)
    return Client(connection, headers.get("Audiohook-Session-Id", session))
