"""Where webhooks go: addresses that may be posted to, and the secrets that sign for them.

Only `https`, or `http` to this machine's own addresses. Addresses come from the operator's settings alone; what protects
inner services against a name that resolves to them is that the receiver's certificate is always verified.
"""

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monitor.access import is_loopback
from monitor.errors import SettingError
from monitor.settings import WebhookSettings
from monitor.tokens import read_secret, write_secret

SECRET_VARIABLE = "CALLMOOD_WEBHOOK_SECRET"
PREFIX = "whsec_"
SHORTEST_SECRET, LONGEST_SECRET = 24, 64
"""Bytes: Standard Webhooks 1.0."""
_CURE = "`callmood webhooks secret FILE` makes one"


@dataclass(frozen=True)
class Endpoint:
    """One address. Neither it nor a secret is in its `repr`, nor in `shown`: some services' addresses are secrets."""

    number: int
    """Its place in the setting `urls`, from 1."""
    url: str = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)
    """Each signs: while a receiver changes over, the old and the new one."""
    shown: str
    """Scheme, host and port alone, for logs and lists."""

    @property
    def key(self) -> str:
        """Names the address in the queue on disk, whatever its place in the settings."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]


def endpoints(settings: WebhookSettings, environment: Mapping[str, str] = os.environ) -> tuple[Endpoint, ...]:
    """The addresses that the settings name, checked, with their secrets. Raises SettingError, without a secret in it."""
    if not settings.urls:
        raise SettingError('webhooks.urls is empty: name an address, such as urls = ["https://crm.example.com/alerts"]')
    if len(set(settings.urls)) < len(settings.urls):
        raise SettingError("webhooks.urls names an address twice: it would get everything twice")
    keys = _secrets(settings, environment)
    return tuple(
        Endpoint(number, url, secret, _checked(number, url))
        for number, (url, secret) in enumerate(zip(settings.urls, keys, strict=True), 1)
    )


def write_webhook_secret(path: Path) -> str:
    """Makes a new file with a new secret, mode 0600; returns the secret. Raises SettingError where something is there."""
    secret = PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    write_secret(path, secret)
    return secret


def _checked(number: int, text: str) -> str:
    """`text`, an address, as it is shown. Raises SettingError, which says no more of it than that."""
    import httpx

    where = f"webhooks.urls, number {number}"
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise SettingError(f"{where}: no address: {error}; expected one such as https://host/path") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise SettingError(f"{where}: expected https://host/path, got {url.scheme or 'no scheme'!r}")
    shown = f"{url.scheme}://{url.netloc.decode()}/…"
    if url.userinfo:
        raise SettingError(
            f"{where}: has a user or password in it: what proves who posts is the signature, remove them"
        )
    if url.fragment:
        raise SettingError(f"{where}: {shown} has a fragment (#), which is never sent: remove it")
    if url.scheme == "http" and not is_loopback(url.host):
        cure = "alerts would go through the network in the clear: use https"
        raise SettingError(f"{where}: {shown} is http to another machine: {cure}")
    return shown


def _secrets(settings: WebhookSettings, environment: Mapping[str, str]) -> Sequence[tuple[bytes, ...]]:
    """The secrets of each address."""
    files, count = settings.secret_files, len(settings.urls)
    if not files:
        text = environment.get(SECRET_VARIABLE, "")
        if not text:
            cure = f"name files by webhooks.secret_files, or set {SECRET_VARIABLE}; {_CURE}"
            raise SettingError(f"no secret to sign webhooks with: {cure}")
        return [_parsed(text, SECRET_VARIABLE)] * count
    if len(files) not in (1, count):
        raise SettingError(f"webhooks.secret_files names {len(files)} files for {count} urls: expected 1 or {count}")
    each = [_parsed(read_secret(Path(file)).decode("ascii", "replace"), file) for file in files]
    return each if len(each) == count else each * count


def _parsed(text: str, where: str) -> tuple[bytes, ...]:
    """The secrets in `text`, one a line, each `whsec_` and base64. Raises SettingError, which has none of it."""
    keys = []
    for word in text.split():
        try:
            key = base64.b64decode(word.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not word.startswith(PREFIX) or not SHORTEST_SECRET <= len(key) <= LONGEST_SECRET:
            expected = f"{PREFIX} and {SHORTEST_SECRET} to {LONGEST_SECRET} bytes in base64, one secret a line"
            raise SettingError(f"{where}: no secret of Standard Webhooks: expected {expected}; {_CURE}")
        keys.append(key)
    if not keys:
        raise SettingError(f"{where}: empty, expected a secret; {_CURE}")
    return tuple(keys)
