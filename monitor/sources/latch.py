"""Which datagrams on a port belong to its stream: from the address that it follows, and not too many. Pure."""

from collections.abc import Iterable, Sequence

from monitor.settings import RtpSettings
from monitor.sources.allowlist import AllowList
from monitor.sources.datagrams import Address


class Latch:
    """The address that a stream follows (symmetric RTP: not the one that SDP names, but the first that sends)."""

    def __init__(self, settings: RtpSettings, allow: AllowList, remote_hosts: Iterable[str]) -> None:
        self.address: Address | None = None
        self.heard_s: float | None = None
        """When it last sent."""
        self._relatch_s = settings.relatch_s
        self._allow = allow
        self._named = frozenset(remote_hosts)

    def admits(self, address: Address, now_s: float) -> bool:
        """Whether an RTP packet of an agreed type from `address` belongs to the stream; follows it from then on.

        Another address than before only after silence, or where it is named and the one before is not.
        """
        if address != self.address:
            if not self._allow.admits(address[0]) or not self._may_move(address[0], now_s):
                return False
            self.address = address
        self.heard_s = now_s
        return True

    def follows_all(self, addresses: Sequence[Address]) -> bool:
        """Whether all of these are the address that it follows."""
        return self.address is not None and addresses.count(self.address) == len(addresses)

    def _may_move(self, host: str, now_s: float) -> bool:
        if self.address is None or self.heard_s is None or now_s - self.heard_s >= self._relatch_s:
            return True
        return host in self._named and self.address[0] not in self._named


class Flood:
    """Counts what comes within a second against the limits."""

    def __init__(self, settings: RtpSettings) -> None:
        self._most_packets, self._most_bytes = settings.packets_per_s, settings.bytes_per_s
        self._packets = self._bytes = 0
        self._until_s = float("-inf")

    def takes(self, size: int, now_s: float) -> bool:
        """Whether `size` more bytes are within the limits."""
        self._begin_second(now_s)
        self._packets += 1
        self._bytes += size
        return self._packets <= self._most_packets and self._bytes <= self._most_bytes

    def takes_all(self, count: int, size: int, now_s: float) -> bool:
        """Whether so many more packets, of `size` bytes together, are within the limits; nothing is counted where not."""
        self._begin_second(now_s)
        if self._packets + count > self._most_packets or self._bytes + size > self._most_bytes:
            return False
        self._packets += count
        self._bytes += size
        return True

    def _begin_second(self, now_s: float) -> None:
        if now_s >= self._until_s:
            self._packets = self._bytes = 0
            self._until_s = now_s + 1.0
