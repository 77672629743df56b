"""Whether a request comes from the platform that it says: a signature, or a token that it was told to show. Pure.

Twilio signs the address that it connects to: `X-Twilio-Signature` is the base64 of HMAC-SHA1 over the whole URL with the
account's auth token (https://www.twilio.com/docs/usage/security); where `X-Twilio-Webhooks-Signature-Settings` names
HMAC_SHA256, that. What the URL is called varies: `wss` or `https`, with its scheme's own port or without, with a slash at its
end or without. All of these mean the same address, so a signature over any of them is good. SignalWire signs likewise.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from monitor.errors import AccessError
from monitor.sources.credentials import shows_one
from monitor.sources.streams import Upgrade, authorities

_SIGNATURES = ("x-twilio-signature", "x-signalwire-signature")
_SIGNATURE_SETTINGS = "x-twilio-webhooks-signature-settings"
_SCHEMES = {"wss": ("wss", "https"), "https": ("wss", "https"), "ws": ("ws", "http"), "http": ("ws", "http")}


def check_request(upgrade: Upgrade, public_url: str, auth_tokens: Sequence[str], tokens: Sequence[str]) -> None:
    """Raises AccessError where neither a signature with one of `auth_tokens` nor one of `tokens` comes along."""
    signature = next((upgrade.headers[name] for name in _SIGNATURES if name in upgrade.headers), "")
    shown = upgrade.tokens
    if signature and auth_tokens:
        url = upgrade.public_url(public_url)
        if not is_signed(url, signature, auth_tokens, upgrade.headers.get(_SIGNATURE_SETTINGS, "")):
            cure = "compare streams.public_url with the address in the platform's configuration, and the auth token"
            raise AccessError(
                f"the signature is not over {_without_query(url)!a} with our auth token: {cure}", 403, "token"
            )
        return
    if shows_one(shown, tokens):
        return
    if shown and tokens:
        raise AccessError("the token is another one than twilio.token_file has", 403, "token")
    wanted = [*(["X-Twilio-Signature"] if auth_tokens else []), *(["a token"] if tokens else [])]
    raise AccessError(f"no credentials came along, expected {' or '.join(wanted)}", 401, "no_token")


def is_signed(url: str, signature: str, auth_tokens: Sequence[str], settings: str = "") -> bool:
    """Whether `signature` is one of `url`, however it is written, with one of the tokens."""
    digest = hashlib.sha256 if "hmac_sha256" in settings.lower() else hashlib.sha1
    try:
        given = base64.b64decode(signature.strip().encode(), validate=True)
    except (binascii.Error, ValueError):
        return False
    try:
        names = list(urls(url))
    except ValueError:  # no address at all
        return False
    good = False
    for name in names:
        for token in auth_tokens:  # no way out early: how long it takes must tell nothing
            good |= hmac.compare_digest(hmac.digest(_bytes(token), _bytes(name), digest), given)
    return good


def urls(url: str) -> Iterator[str]:
    """All ways in which the address `url` is written."""
    parts = urlsplit(url)
    rest = url.partition("://")[2].removeprefix(parts.netloc)
    path, mark, query = rest.partition("?")
    paths = dict.fromkeys((path, path.rstrip("/"), path.rstrip("/") + "/"))
    for scheme in _SCHEMES.get(parts.scheme, (parts.scheme,)):
        for authority in authorities(parts.netloc, scheme):
            for one in paths:
                yield f"{scheme}://{authority}{one}{mark}{query}"


def _without_query(url: str) -> str:
    """For the log: a query may have a token."""
    return url.partition("?")[0]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
