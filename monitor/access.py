"""Who may connect.

A browser lets any page in the world open a websocket to 127.0.0.1, and only the server can refuse it. Two headers
that a page cannot forge tell: `Origin` names the site that the page came from, `Host` the name under which the browser
reached us (a foreign name that resolves to 127.0.0.1, "DNS rebinding", would make a foreign page look like our own).
"""

import re
from collections.abc import Sequence

_LOOPBACK = r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"
_HOST = re.compile(_LOOPBACK, re.IGNORECASE)
_ORIGIN = re.compile(r"https?://" + _LOOPBACK, re.IGNORECASE)


def refusal(hosts: Sequence[str], origins: Sequence[str]) -> str | None:
    """Why a request with these `Host` and `Origin` headers is refused, in one line; None when it is welcome.

    `Host` must be one loopback name, with any port: a forwarded port keeps the forwarder's number. `Origin` may be
    absent (programs send none) or a page of this machine. `null` is refused: sandboxed frames of any site send it.
    """
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        return f"host {_shown(hosts)} is refused: this server answers to localhost, 127.0.0.1 and [::1] only"
    if origins and (len(origins) > 1 or not _ORIGIN.fullmatch(origins[0])):
        return f"origin {_shown(origins)} is refused: only pages of this machine may subscribe, such as the one at /"
    return None


def _shown(values: Sequence[str]) -> str:
    text = ", ".join(values)
    return ascii(text if len(text) <= 80 else text[:80] + "…")
