"""Which hosts may speak to a listener. Pure.

A listener on this machine's own loopback needs no list; on any other address it is refused at start without one.
"""

import ipaddress
from collections.abc import Iterable

from monitor.errors import SettingError


class AllowList:
    """Networks (`10.0.0.0/8`, `192.0.2.7`, `2001:db8::/32`) as settings name them; an empty list admits everybody.

    Raises SettingError for a network that is none.
    """

    def __init__(self, networks: Iterable[str], setting: str = "allow") -> None:
        self._networks = [_network(text, setting) for text in networks]
        self._known: dict[str, bool] = {}

    def admits(self, host: str) -> bool:
        """Whether `host`, an IP address as a socket names it, is in one of the networks."""
        if not self._networks:
            return True
        if host not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[host] = self._is_in(host)
        return self._known[host]

    def _is_in(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)


_MOST_KNOWN = 4_096


def check_listener(table: str, host: str, allow: tuple[str, ...]) -> None:
    """Raises SettingError for a table whose `host` is open to others without an allow-list."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise SettingError(f"{table}.host must be an IP address, got {host!r}: for example 127.0.0.1") from None
    if not loopback and not allow:
        text = f"{table}.host is {host}, open to others, but {table}.allow is empty"
        raise SettingError(f'{text}: name who may send, for example allow = ["192.0.2.0/24"]')


def _network(text: str, setting: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise SettingError(
            f"{setting} must list IP addresses or networks, got {text!r}: for example 192.0.2.0/24"
        ) from None
