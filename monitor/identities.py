"""Who is on the phone, shown or not. Pure."""

import hashlib
import hmac
import secrets


class Identities:
    """Phone numbers, names and agents' ids as they may leave the node: as they are, or as pseudonyms under a key.

    Without a `key` one is made: pseudonyms of two runs cannot be joined. A node that keeps a history gives a lasting one.
    """

    def __init__(self, show: bool, key: bytes | None = None) -> None:
        self._show = show
        self._key = key or secrets.token_bytes(32)

    def shown(self, identity: str) -> str:
        """`identity` itself where it may be shown; else `id-` and 48 bits of its HMAC-SHA256, in hexadecimal."""
        if self._show:
            return identity
        return "id-" + hmac.digest(self._key, identity.encode(), hashlib.sha256)[:6].hex()

    @property
    def fingerprint(self) -> str:
        """Equal where two runs show identities alike, so that what one showed is what the other would."""
        return "shown" if self._show else self.shown("")
