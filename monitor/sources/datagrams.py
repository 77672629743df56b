"""What came together on a port. Pure.

Nearly all of a voice is packets of one length. Such are kept as two strings, so that nobody takes them apart one by one.
"""

from collections.abc import Sequence
from itertools import compress
from typing import Any, NamedTuple

from monitor.sources.rtp_packet import HEADER_BYTES

Address = tuple[Any, ...]
"""As a socket names it: host, port, …"""


class Alike(NamedTuple):
    """Datagrams of one length, which have room for RTP's header, in their order."""

    headers: bytes
    """The first 12 bytes of each."""
    payloads: bytes
    """The rest of each."""

    @property
    def packets(self) -> int:
        """How many there are."""
        return len(self.headers) // HEADER_BYTES

    def payload(self, first: int, count: int) -> bytes:
        """Those of so many, put together."""
        size = len(self.payloads) // self.packets
        return self.payloads[first * size : (first + count) * size]

    def equal(self, first: int, headers: bytes) -> int:
        """How many from the number `first` on have just these `headers`."""
        at = first * HEADER_BYTES
        got = self.headers[at : at + len(headers)]
        if got == headers:
            return len(headers) // HEADER_BYTES
        starts = range(0, len(headers), HEADER_BYTES)
        same = (got[at : at + HEADER_BYTES] == headers[at : at + HEADER_BYTES] for at in starts)
        return next(number for number, is_same in enumerate(same) if not is_same)


class Datagrams:
    """Those of one look at a socket, in their order."""

    __slots__ = ("_each", "addresses", "alike", "size")

    def __init__(
        self, addresses: Sequence[Address] = (), each: Sequence[bytes] = (), alike: Alike | None = None
    ) -> None:
        """As many `addresses` as datagrams; these are `each`, or `alike`."""
        self.addresses = addresses
        """Where each came from."""
        self.alike = alike or _alike(each)
        """None where they are not of one length."""
        self._each = each
        self.size = sum(map(len, alike or each))
        """Bytes of all together."""

    def __len__(self) -> int:
        return len(self.addresses)

    def __getitem__(self, number: int) -> bytes:
        return self.each[number]

    @property
    def each(self) -> Sequence[bytes]:
        """One by one."""
        if self.alike is not None and not self._each:
            headers, payload = self.alike.headers, self.alike.payload
            self._each = [
                headers[HEADER_BYTES * number : HEADER_BYTES * (number + 1)] + payload(number, 1)
                for number in range(len(self))
            ]
        return self._each

    def only(self, taken: Sequence[bool]) -> "Datagrams":
        """What is left of them."""
        return Datagrams([*compress(self.addresses, taken)], [*compress(self.each, taken)])


def _alike(each: Sequence[bytes]) -> Alike | None:
    if not each or len(each[0]) < HEADER_BYTES or any(len(one) != len(each[0]) for one in each):
        return None
    return Alike(b"".join([one[:HEADER_BYTES] for one in each]), b"".join([one[HEADER_BYTES:] for one in each]))
