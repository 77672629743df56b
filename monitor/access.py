"""Who may connect from where.

A browser lets any page in the world open a websocket to 127.0.0.1, and only the server can refuse it. Two headers
that a page cannot forge tell: `Origin` names the site that the page came from, `Host` the name under which the browser
reached us (a foreign name that resolves to 127.0.0.1, "DNS rebinding", would make a foreign page look like our own).
"""

import re
import ssl
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from monitor.errors import AccessError, ServiceError, SettingError
from monitor.settings import Settings
from monitor.tokens import read_secret

SUBPROTOCOL = "callmood.v1"
"""What a browser offers together with `bearer.TOKEN`, since a page cannot send an `Authorization` header."""

_LOOPBACK = r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"
_HOST = re.compile(_LOOPBACK, re.IGNORECASE)
_NAME = re.compile(r"[\w.-]+(:\d{1,5})?|\[[0-9a-fA-F:.]+\](:\d{1,5})?", re.ASCII)
_ORIGIN = re.compile(r"https?://" + _LOOPBACK, re.IGNORECASE)


def check_front(hosts: Sequence[str], origins: Sequence[str], allowed: Sequence[str], with_tokens: bool) -> None:
    """Whether a request with these `Host` and `Origin` headers is welcome. Raises AccessError (403).

    `Host` must be one loopback name, with any port: a forwarded port keeps the forwarder's number; where tokens are asked
    for, a page under a foreign name has none, and any name will do. `Origin` may be absent (programs send none), a page
    of this machine or, where tokens are asked for, of this server, or in `allowed`. `null` is refused: sandboxed frames of
    any site send it.
    """
    if len(hosts) != 1 or not (_NAME if with_tokens else _HOST).fullmatch(hosts[0]):
        text = f"host {_shown(hosts)} is refused: this server answers to localhost, 127.0.0.1 and [::1] only"
        raise AccessError(text, 403, "host")
    own = [f"https://{hosts[0]}", f"http://{hosts[0]}"] if with_tokens else []
    if origins and (len(origins) > 1 or not (_ORIGIN.fullmatch(origins[0]) or origins[0] in (*allowed, *own))):
        cure = "only pages of this machine and of the setting `origins` may subscribe"
        raise AccessError(f"origin {_shown(origins)} is refused: {cure}", 403, "origin")


def check_origins(origins: Sequence[str]) -> None:
    """Raises SettingError where an entry of the setting `origins` could never equal a browser's `Origin` header."""
    for origin in origins:
        if not re.fullmatch(r"https?://[^/\s*]+", origin):
            text = f"origins holds {origin!r}: expected scheme, host and port alone, such as https://crm.example.com"
            raise SettingError(text)


def bearer(authorizations: Sequence[str], subprotocols: Sequence[str]) -> str | None:
    """The token of a request's `Authorization` header, or of the subprotocol `bearer.TOKEN`; None without one."""
    for authorization in authorizations:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
    offered = [name.removeprefix("bearer.") for name in subprotocols if name.startswith("bearer.")]
    return offered[0] if offered else None


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach `host`."""
    try:
        return host.lower() == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def check_reach(settings: Settings, with_tokens: bool) -> None:
    """Raises ServiceError where other machines would reach the calls unprotected."""
    if is_loopback(settings.host) or (settings.tls_certificate and with_tokens):
        return
    missing = [] if settings.tls_certificate else ["tls_certificate and tls_key"]
    missing += [] if with_tokens else ["token_secret or token_public_key"]
    cure = f"set {' and '.join(missing)}, or host = 127.0.0.1"
    raise ServiceError(f"host {settings.host} can be reached from other machines, expected TLS and tokens: {cure}")


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS 1.2 or later with the files that `settings` name, None where they name none. Raises SettingError."""
    if not settings.tls_certificate and not settings.tls_key:
        return None
    if not (settings.tls_certificate and settings.tls_key):
        raise SettingError("tls_certificate and tls_key belong together: set both, or none")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, settings)
    return context


def load_certificate(context: ssl.SSLContext, settings: Settings) -> None:
    """From now on `context` shows what the files hold; connections that stand go on. Raises SettingError."""
    read_secret(Path(settings.tls_key))
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        files = f"{settings.tls_certificate}, {settings.tls_key}"
        text = f"cannot be used for TLS ({why}): expected a certificate and its unencrypted key in PEM"
        raise SettingError(f"{files}: {text}") from None


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _shown(values: Sequence[str]) -> str:
    text = ", ".join(values)
    return ascii(text if len(text) <= 80 else text[:80] + "…")
