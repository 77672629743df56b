"""Whether an AudioHook client knows the client secret that belongs to its API key. Pure but for its memory of nonces.

HTTP message signatures (draft-ietf-httpbis-message-signatures-11) with HMAC-SHA256:

    Signature-Input: sig1=("@request-target" "@authority" …);keyid="KEY";nonce="…";alg="hmac-sha256";created=…;expires=…
    Signature: sig1=:BASE64:

What is signed are lines `"NAME": VALUE` of what the first header lists, then `"@signature-params": ` and that list itself.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from monitor.errors import AccessError, SettingError
from monitor.sources.streams import Upgrade, authorities

REQUIRED = (
    "@request-target",
    "@authority",
    "audiohook-organization-id",
    "audiohook-session-id",
    "audiohook-correlation-id",
    "x-api-key",
)
"""What must be signed."""
OLDEST_S, SKEW_S = 10.0, 3.0
SHORTEST_NONCE = 22
_MOST_NONCES = 100_000
_LONGEST_HEADER = 4_096
_NAME = r'"[@a-z0-9-]{1,64}"'
_INPUT = re.compile(
    rf'([a-z*][a-z0-9_.*-]*)=(\(({_NAME}(?: {_NAME}){{0,31}})\)((?:;[a-z]+=(?:"[ !#-\[\]-~]*"|\d{{1,15}}))+))'
)
_SIGNATURE = re.compile(r"([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]{1,128}={0,2}):")
_PARAMETER = re.compile(r';([a-z]+)=(?:"([ !#-\[\]-~]*)"|(\d{1,15}))')
_KEY = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")

Keys = Mapping[str, bytes | None]
"""API key → client secret; None where the integration has none."""


def parse_keys(lines: Iterable[str]) -> dict[str, bytes | None]:
    """Of lines `KEY SECRET`, the secret in base64 as Genesys Cloud has it. Raises SettingError, which shows neither."""
    keys: dict[str, bytes | None] = {}
    for number, line in enumerate(lines, 1):
        key, *rest = line.split()
        try:
            secret = base64.b64decode(rest[0], validate=True) if rest else None
        except binascii.Error:
            secret = b""
        if not _KEY.fullmatch(key) or len(rest) > 1 or secret == b"":
            raise SettingError(
                f"audiohook.keys_file: entry {number} is no `API-KEY CLIENT-SECRET`, the secret in base64"
            )
        keys[key] = secret
    return keys


class Verifier:
    """Checks requests against `keys`. `clock` is the time of day in Unix seconds."""

    def __init__(self, keys: Keys, public_url: str, clock: Callable[[], float] = time.time) -> None:
        self._keys, self._public_url, self._clock = keys, public_url, clock
        self._nonces: dict[tuple[str, str], float] = {}
        """Key and nonce of good signatures → when they may be forgotten; in the order of their coming."""

    def check(self, upgrade: Upgrade) -> None:
        """Raises AccessError (401), whose text shows no secret."""
        headers = upgrade.headers
        if missing := [name for name in REQUIRED[2:] if not headers.get(name)]:
            raise _refused(f"the header {missing[0]} is missing")
        key = headers["x-api-key"]
        signed, given = headers.get("signature-input", ""), headers.get("signature", "")
        if not signed and not given:
            if key in self._keys and self._keys[key] is None:
                return
            raise _refused("the request is not signed, or its API key is unknown")
        label, raw, names, parameters = _parsed(signed)
        self._check_parameters(parameters, key)
        if missing := [name for name in REQUIRED if name not in names]:
            raise _refused(f"the signature does not cover {missing[0]}")
        # An unknown key is tried against a secret that nobody has: how long it takes must tell nothing.
        secret = self._keys.get(key) or secrets.token_bytes(32)
        signature = _signature(given, label)
        digests = [hmac.digest(secret, _base(names, raw, values), hashlib.sha256) for values in self._values(upgrade)]
        if not any(hmac.compare_digest(digest, signature) for digest in digests):
            raise _refused(
                "the signature is wrong: compare API key, client secret and streams.public_url with Genesys Cloud's"
            )
        self._remember(key, str(parameters["nonce"]))

    def _check_parameters(self, parameters: Mapping[str, str | int], key: str) -> None:
        now_s = self._clock()
        created, expires = parameters.get("created"), parameters.get("expires")
        nonce = parameters.get("nonce")
        if parameters.get("keyid") != key:
            raise _refused("the signature's keyid is not the X-API-KEY")
        if parameters.get("alg", "hmac-sha256") != "hmac-sha256":
            raise _refused(f"the signature's alg is {str(parameters['alg'])[:20]!a}, expected hmac-sha256")
        if not isinstance(nonce, str) or len(nonce) < SHORTEST_NONCE:
            raise _refused(f"the signature's nonce has less than {SHORTEST_NONCE} characters")
        if not isinstance(created, int) or created > now_s + SKEW_S:
            raise _refused("the signature was made in the future: compare the clocks")
        if now_s - created > OLDEST_S + SKEW_S or (isinstance(expires, int) and expires < now_s - SKEW_S):
            raise _refused("the signature has expired: compare the clocks")
        if (key, nonce) in self._nonces:
            raise _refused("the signature's nonce was used before")

    def _values(self, upgrade: Upgrade) -> Iterable[Mapping[str, str]]:
        """What the names of signed components mean, in each way in which the authority is written."""
        url = upgrade.public_url(self._public_url)
        try:
            parts = urlsplit(url)
        except ValueError:
            raise _refused("the header host names no host") from None
        target = url.partition("://")[2].removeprefix(parts.netloc) or "/"
        for authority in authorities(parts.netloc.lower(), parts.scheme):
            yield {**upgrade.headers, "@request-target": target, "@authority": authority}

    def _remember(self, key: str, nonce: str) -> None:
        now_s = self._clock()
        while self._nonces and (next(iter(self._nonces.values())) < now_s or len(self._nonces) >= _MOST_NONCES):
            del self._nonces[next(iter(self._nonces))]
        self._nonces[key, nonce] = now_s + OLDEST_S + 2 * SKEW_S


def _parsed(signed: str) -> tuple[str, str, list[str], dict[str, str | int]]:
    """Label, the list with its parameters as it stands there, the names in it, and the parameters."""
    found = _INPUT.fullmatch(signed.strip()) if len(signed) <= _LONGEST_HEADER else None
    if found is None:
        raise _refused("the header Signature-Input cannot be read")
    names = [name.strip('"') for name in found[3].split()]
    parameters: dict[str, str | int] = {
        one[1]: int(one[3]) if one[3] else one[2] for one in _PARAMETER.finditer(found[4])
    }
    if len(set(names)) < len(names):
        raise _refused("the header Signature-Input names something twice")
    return found[1], found[2], names, parameters


def _signature(given: str, label: str) -> bytes:
    found = _SIGNATURE.fullmatch(given.strip())
    if found is None or found[1] != label:
        raise _refused("the header Signature cannot be read, or has another label than Signature-Input")
    try:
        return base64.b64decode(found[2], validate=True)
    except binascii.Error:
        raise _refused("the header Signature is no base64") from None


def _base(names: Iterable[str], raw: str, values: Mapping[str, str]) -> bytes:
    lines = []
    for name in names:
        if name not in values or name in ("signature", "signature-input"):
            raise _refused(f"the signature covers {name}, which is not there or cannot be covered")
        lines.append(f'"{name}": {values[name].strip()}')
    return "\n".join([*lines, f'"@signature-params": {raw}']).encode("utf-8", "surrogateescape")


def _refused(why: str) -> AccessError:
    return AccessError(why, 401, "token")
