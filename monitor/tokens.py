"""Tokens: JSON Web Tokens (RFC 7519) that say who may hear what, and until when.

HS256 with a secret of our own, or RS256 / ES256 with the public key of an identity provider. Which of them is fixed by the
configured key, never by the token. `scope` is a list of words with a space between (RFC 8693, 4.2): `calls:*`, `call:ID`,
`agent:ID`, `acknowledge`, `metrics`; an ID is percent-encoded where it has a space or a percent sign. Other words are
passed over: an identity provider's tokens have some.
"""

import hashlib
import os
import secrets
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from monitor.errors import AccessError, SettingError
from monitor.settings import Settings
from monitor.subscription import Topic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

SHORTEST_SECRET = 32
"""Bytes: RFC 7518, 3.2."""
LONGEST_TOKEN = 8_192
"""Characters."""
LATEST_S = 253_402_300_799.0
"""The end of the year 9999: no later moment can be written."""
SCOPES = "calls:*, call:ID, agent:ID, acknowledge or metrics"


@dataclass(frozen=True, slots=True)
class Grant:
    """What one subscriber may do."""

    scopes: frozenset[str]
    subject: str = ""
    """`sub` of the token: who it was made for."""
    expires_s: float | None = None
    """Unix seconds; null where no tokens are asked for."""
    token: str = ""
    """A fingerprint of the token, to count connections and for the audit log; the token itself is not kept."""

    def hears(self, topic: Topic) -> bool:
        """Whether it reaches `topic`."""
        return "calls:*" in self.scopes or str(topic) in self.scopes

    @property
    def acknowledges(self) -> bool:
        return "acknowledge" in self.scopes

    @property
    def reads_metrics(self) -> bool:
        return "metrics" in self.scopes


EVERYTHING = Grant(frozenset({"calls:*", "acknowledge", "metrics"}))
"""Where no tokens are asked for: on this machine's own address only."""


class Tokens:
    """Checks tokens with one key, and makes them where the key is a secret of our own."""

    def __init__(self, key: Any, algorithm: str, audience: str) -> None:
        self._key, self._algorithm, self._audience = key, algorithm, audience

    @classmethod
    def load(cls, settings: Settings) -> "Tokens | None":
        """With the key that `settings` names, None where they name none. Raises SettingError."""
        if settings.token_secret and settings.token_public_key:
            raise SettingError("token_secret and token_public_key are both set: one key decides, set one of them")
        if settings.token_secret:
            secret = read_secret(Path(settings.token_secret)).strip()
            if len(secret) < SHORTEST_SECRET:
                got = f"{settings.token_secret}: a secret of {len(secret)} bytes, expected {SHORTEST_SECRET} or more"
                raise SettingError(f"{got}: make one by `callmood token --new-secret FILE`")
            return cls(secret, "HS256", settings.token_audience)
        if settings.token_public_key:
            key, algorithm = _public_key(Path(settings.token_public_key))
            return cls(key, algorithm, settings.token_audience)
        return None

    @classmethod
    def temporary(cls, audience: str) -> "Tokens":
        """With a secret that nobody else has, for as long as this program runs."""
        return cls(secrets.token_bytes(SHORTEST_SECRET), "HS256", audience)

    def grant(self, token: str) -> Grant:
        """What `token` allows. Raises AccessError (401), whose text does not have the token."""
        import jwt

        if not 0 < len(token) <= LONGEST_TOKEN:
            raise _refused("the token has no form of a JSON Web Token")
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[self._algorithm],
                audience=self._audience,
                options={"require": ["exp", "aud"], "verify_iat": False},
            )
        except jwt.PyJWTError as error:
            raise _refused(_why(error, self._algorithm)) from None
        subject = claims.get("sub")
        fingerprint = hashlib.sha256(token.encode()).hexdigest()[:16]
        scopes = frozenset(_scopes(claims))
        expires_s = min(float(claims["exp"]), LATEST_S)
        named = isinstance(subject, str) and subject.isprintable()
        return Grant(scopes, str(subject) if named else "", expires_s, fingerprint)

    def make(self, scopes: Iterable[str], hours: float, subject: str = "") -> str:
        """A token that is valid from now on for `hours`. Raises SettingError for a scope that nobody knows."""
        import jwt

        if self._algorithm != "HS256":
            cure = "ask your identity provider, or set token_secret instead of token_public_key"
            raise SettingError(f"tokens are signed with a private key that callmood does not have: {cure}")
        wanted = list(scopes)
        for scope in wanted:
            kind, _, name = scope.partition(":")
            named = kind in ("call", "agent") and name not in ("", "*") and not set(name) & set(" \t\r\n")
            if scope not in ("calls:*", "acknowledge", "metrics") and not named:
                raise SettingError(f"unknown scope {scope!r}: expected {SCOPES}, an ID percent-encoded")
        now_s = int(time.time())
        claims: dict[str, Any] = {"aud": self._audience, "iat": now_s, "exp": now_s + round(3600 * hours)}
        claims |= {"scope": " ".join(wanted)} | ({"sub": subject} if subject else {})
        return jwt.encode(claims, self._key, algorithm="HS256")


def read_secret(path: Path) -> bytes:
    """The content of a file that nobody but its owner may read. Raises SettingError."""
    try:
        mode = path.stat().st_mode
        if os.name != "nt" and stat.S_IMODE(mode) & 0o077:
            raise SettingError(
                f"{path}: mode {stat.S_IMODE(mode):04o} lets others read it, expected 0600: chmod 600 {path}"
            )
        return path.read_bytes()
    except OSError as error:
        raise SettingError(f"{path}: cannot read the secret file: {error.strerror or error}") from None


def write_secret(path: Path, secret: str = "") -> None:
    """A new file, mode 0600, with `secret`, or a random one. Raises SettingError where something stands there already."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write((secret or secrets.token_urlsafe(SHORTEST_SECRET)) + "\n")
    except OSError as error:
        raise SettingError(f"{path}: cannot make the secret file: {error.strerror or error}") from None


def _public_key(path: Path) -> "tuple[PublicKeyTypes, str]":
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise SettingError(f"{path}: cannot read the public key: {error.strerror or error}") from None
    except ValueError:
        raise SettingError(f"{path}: no public key in PEM, expected -----BEGIN PUBLIC KEY-----") from None
    if isinstance(key, RSAPublicKey) and key.key_size >= 2048:
        return key, "RS256"
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return key, "ES256"
    raise SettingError(f"{path}: expected an RSA key of 2048 bits or more, or an elliptic curve key on P-256")


def _scopes(claims: Mapping[str, Any]) -> Iterable[str]:
    """The words of `scope`, IDs decoded; some identity providers send a list."""
    scope = claims.get("scope", "")
    words = scope.split() if isinstance(scope, str) else scope if isinstance(scope, list) else ()
    for word in words:
        if isinstance(word, str):
            kind, colon, name = word.partition(":")
            yield kind + colon + unquote(name)


def _refused(why: str) -> AccessError:
    return AccessError(why, 401, "token")


def _why(error: Exception, algorithm: str) -> str:
    import jwt

    match error:
        case jwt.ExpiredSignatureError():
            return "the token has expired: get a new one"
        case jwt.ImmatureSignatureError():
            return "the token is not valid yet: check both clocks"
        case jwt.InvalidAudienceError():
            return "the token is for another audience: see token_audience"
        case jwt.MissingRequiredClaimError():
            return f"the token lacks the claim {error.claim!a}"
        case jwt.InvalidAlgorithmError():
            return f"the token is signed another way, expected {algorithm}"
        case jwt.InvalidSignatureError():
            return "the token is signed with another key"
        case _:
            return "the token has no form of a JSON Web Token"
