"""One try: a signed request, and what its answer means.

Signed as Standard Webhooks 1.0 says: HMAC-SHA256 over `id.timestamp.body`, in base64, by each secret.
"""

import asyncio
import base64
import hashlib
import hmac
import os
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Literal

import httpx

from monitor import __version__
from monitor.webhooks.endpoints import Endpoint

LONGEST_RETRY_AFTER_S = 86_400.0
"""A receiver that asks for a longer pause is asked again after this."""
SAID_BYTES = 512
"""What is read of an answer; the rest is left."""
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
"""Refusals of a moment; further ones are those of the server's side (500 to 599), but for these two."""
_LASTING = {HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.HTTP_VERSION_NOT_SUPPORTED}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one try."""

    verdict: Literal["delivered", "failed", "refused", "gone"]
    """`failed` may pass and is tried again, `refused` would be refused again, `gone`: the receiver wants no more."""
    text: str
    """In one line, without anything that the receiver said but its status."""
    retry_after_s: float = 0.0
    """The pause that the receiver asked for."""
    said: bytes = b""
    """How the answer's body begins."""
    took_s: float = 0.0


def signed(id: str, at_s: int, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """The headers that prove who posts `body` at `at_s`, Unix seconds."""
    content = b"%b.%d.%b" % (id.encode(), at_s, body)
    signatures = (base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode() for secret in secrets)
    signature = " ".join(f"v1,{signature}" for signature in signatures)
    return {"webhook-id": id, "webhook-timestamp": str(at_s), "webhook-signature": signature}


def client(tls: ssl.SSLContext) -> httpx.AsyncClient:
    """Verifies certificates by `tls`, follows no redirect, and takes neither proxy nor password from the environment."""
    limits = httpx.Limits(
        max_connections=1, max_keepalive_connections=0
    )  # alerts are rare, and none waits for a dead one
    headers = {
        "user-agent": f"callmood/{__version__}",
        "content-type": "application/json",
        "accept-encoding": "identity",
    }
    return httpx.AsyncClient(
        verify=tls, follow_redirects=False, trust_env=False, timeout=None, limits=limits, headers=headers
    )


async def post(client: httpx.AsyncClient, endpoint: Endpoint, id: str, body: bytes, timeout_s: float) -> Answer:
    """Posts `body` once; whatever comes of it is an answer. `timeout_s` is for all of it, however slowly it drips."""
    began_s = time.monotonic()
    headers = signed(id, int(time.time()), body, endpoint.secrets)
    try:
        async with (
            asyncio.timeout(timeout_s),
            client.stream("POST", endpoint.url, content=body, headers=headers) as response,
        ):
            said = await _beginning(response)
    except TimeoutError:
        return Answer("failed", f"no whole answer within {timeout_s:g} s", took_s=time.monotonic() - began_s)
    except httpx.ConnectError as error:
        return Answer("failed", f"cannot connect: {_reason(error)}", took_s=time.monotonic() - began_s)
    except httpx.HTTPError as error:
        return Answer("failed", f"the connection broke: {_reason(error)}", took_s=time.monotonic() - began_s)
    return _answer(response.status_code, response.headers, said, time.monotonic() - began_s)


def wait_s(failures: int, first_s: float, longest_s: float, share: float) -> float:
    """The wait after the given number of failures in a row, from 1: doubled each time, up to `longest_s`; of it the upper
    half at random, by `share` 0..1, so that nodes that failed together do not come back together."""
    whole_s = min(longest_s, first_s * 2.0 ** min(failures - 1, 60))
    return whole_s * (0.5 + 0.5 * share)


async def _beginning(response: httpx.Response) -> bytes:
    said = b""
    async for piece in response.aiter_raw():
        said += piece
        if len(said) >= SAID_BYTES:
            break
    return said[:SAID_BYTES]


def _answer(status: int, headers: Mapping[str, str], said: bytes, took_s: float) -> Answer:
    text = f"{status} {_phrase(status)}".strip()
    if 200 <= status < 300:
        return Answer("delivered", text, said=said, took_s=took_s)
    if status == HTTPStatus.GONE:
        return Answer("gone", text, said=said, took_s=took_s)
    if status in _PASSING or (500 <= status < 600 and status not in _LASTING):
        pause_s = retry_after_s(headers.get("retry-after", ""), datetime.now(UTC))
        return Answer("failed", text, pause_s, said, took_s)
    if 300 <= status < 400:
        text += ": redirects are not followed, name the new address in webhooks.urls"
    return Answer("refused", text, said=said, took_s=took_s)


def retry_after_s(text: str, now: datetime) -> float:
    """The pause of a `Retry-After` header (RFC 9110, 10.2.3): seconds or a date; 0 where it is neither, or is over."""
    if text.isascii() and text.strip().isdigit():
        pause_s = float(text.strip()[:12])
    else:
        try:
            pause_s = (parsedate_to_datetime(text) - now).total_seconds()
        except (TypeError, ValueError, OverflowError):  # no date, or one without a zone
            return 0.0
    return min(max(0.0, pause_s), LONGEST_RETRY_AFTER_S)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _reason(error: BaseException) -> str:
    """What the operating system or TLS said, which httpx keeps at the end of a chain."""
    cause: BaseException | None = error
    while cause is not None:
        match cause:
            case ssl.SSLCertVerificationError():
                return f"its certificate is not trusted: {cause.verify_message}"
            case ssl.SSLError(reason=str(text)):
                return f"TLS: {text.replace('_', ' ').lower()}"
            case OSError(errno=int(number)) if number > 0:  # asyncio puts words of its own into strerror
                return os.strerror(number)
            case OSError(strerror=str(text)):
                return text
            case BaseExceptionGroup():
                cause = cause.exceptions[0]
            case _:
                cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__
