"""Why a subscriber is not connected: to be tried again, or for good. Pure."""

import socket
import ssl

from websockets.exceptions import ConnectionClosed, InvalidStatus

from monitor.address import Address
from monitor.errors import AccessError, CallmoodError, RequestError, ServiceError

ENDED, GOING_AWAY = 1000, 1001
"""Close codes of RFC 6455."""
REFUSED = 4000
"""Plus an HTTP status that says the same."""
LONGEST_REASON = 300
"""Characters of what a server says that are shown."""


class LostError(CallmoodError):
    """Not connected now, but perhaps soon."""

    code = "lost"


def closed(end: ConnectionClosed, address: Address) -> CallmoodError | None:
    """What the close of a connection means; None for the end of the one call."""
    if end.rcvd is None:
        return LostError("the connection broke")
    code, reason = end.rcvd.code, _shown(end.rcvd.reason)
    if code == ENDED and address.call is not None:
        return None
    if code in (REFUSED + 400, REFUSED + 401, REFUSED + 403, REFUSED + 404):
        return _refused(code - REFUSED, reason, address)
    why = "" if code == GOING_AWAY else f" with code {code}"
    return LostError(f"the server closed the connection{why}{reason and f': {reason}'}")


def not_admitted(error: InvalidStatus, address: Address) -> CallmoodError:
    """What the HTTP answer to a handshake means."""
    status = error.response.status_code
    reason = _shown((error.response.body or b"").decode("utf-8", "replace"))
    if status >= 500 or status in (408, 425, 429):
        return LostError(f"{address.server} answers HTTP {status}{reason and f': {reason}'}")
    return _refused(status, reason or f"HTTP {status}", address)


def unreachable(error: Exception, address: Address, *, first: bool) -> CallmoodError:
    """Why no connection could be opened. What only a wrong address explains is for good at the `first` try."""
    server = address.server
    match error:
        case socket.gaierror(errno=socket.EAI_NONAME):
            text = f"{server}: this machine knows no such host, expected a server's name or address and its port"
        case ssl.SSLCertVerificationError():
            why = error.verify_message.rstrip(".").lower()
            text = f"{server}: its certificate is not trusted ({why}): name the file of its authority, or the server's true name"
        case ssl.SSLError():
            text = (
                f"{server} speaks no TLS ({error.reason}): expected a server with a certificate, or connect with ws://"
            )
        case TimeoutError():
            return LostError(f"{server} does not answer in time")
        case OSError():
            return LostError(f"{server} cannot be reached ({_why(error)}): expected a running callmood there")
        case _:
            cure = "" if address.secure else ", or connect with https:// where it speaks TLS"
            why = _shown(str(error))
            return LostError(f"{server} answers, but not as a websocket ({why}): expected a callmood server{cure}")
    return ServiceError(text) if first else LostError(text)


def _refused(status: int, reason: str, address: Address) -> CallmoodError:
    text = f"{address.server} refuses: {reason or 'no reason was given'}"
    return AccessError(text, status) if status in (401, 403) else RequestError(text, status)


def _why(error: OSError) -> str:
    """One line; where a name has several addresses, asyncio joins what each of them gave."""
    return (
        "connection refused"
        if "Connect call failed" in str(error)
        else (error.strerror or str(error)).lower() or "the connection broke"
    )


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "�" for c in " ".join(text.split()))[:LONGEST_REASON]
