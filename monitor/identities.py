"""Who is on the phone, shown or not. Pure."""

import hashlib
import hmac
import secrets


class Identities:
    """Phone numbers, names and agents' ids as they may leave the node: as they are, or as pseudonyms under a key.

    The key is made anew at every start unless it is given, so pseudonyms of two runs cannot be joined.
    """

    def __init__(self, show: bool, key: bytes | None = None) -> None:
        self._show = show
        self._key = key or secrets.token_bytes(32)

    def shown(self, identity: str) -> str:
        """`identity` itself where it may be shown; else `id-` and 48 bits of its HMAC-SHA256, in hexadecimal."""
        if self._show:
            return identity
        return "id-" + hmac.digest(self._key, identity.encode(), hashlib.sha256)[:6].hex()
