"""Where a subscriber connects to, from whatever address a person has at hand. Pure."""

from dataclasses import dataclass
from urllib.parse import SplitResult, quote, unquote, urlsplit

from monitor.access import is_loopback
from monitor.errors import RequestError
from monitor.subscription import AGENTS_PATH, PATH

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_EXPECTED = f"expected ws://HOST:PORT{PATH}, or wss:// with TLS"


@dataclass(frozen=True, slots=True)
class Address:
    """One subscription's address."""

    url: str
    """`ws://127.0.0.1:8765/v1/calls`, perhaps with `?min_interval_s=`."""
    call: str | None = None
    """The one call that it is of; null where several may come."""

    @classmethod
    def parse(cls, text: str, *, call: str | None = None, agent: str | None = None) -> "Address":
        """From the address of a server or of a subscription: `http(s)` and `ws(s)`, with or without a path.

        `call` or `agent` narrow the address of a server, or of all its calls, down to one of theirs. Raises RequestError.
        """
        parts = _split(text)
        path = parts.path.rstrip("/")
        if "/v1/" not in path:
            path += PATH
        if call is not None or agent is not None:
            if not path.endswith(PATH):
                raise RequestError(f"{_short(text)} names a call or an agent already: leave one of the two out")
            path = path.removesuffix(PATH) + (f"{AGENTS_PATH}/{_quoted(agent)}" if agent else f"{PATH}/{_quoted(call)}")
        one = _call_of(path, text)
        scheme = _SCHEMES[parts.scheme.lower()]
        return cls(f"{scheme}://{parts.netloc}{path}" + (f"?{parts.query}" if parts.query else ""), one)

    @property
    def all_calls(self) -> bool:
        """Whether it is of all calls."""
        return urlsplit(self.url).path.endswith(PATH)

    @property
    def secure(self) -> bool:
        """Whether it is reached through TLS."""
        return self.url.startswith("wss:")

    @property
    def private(self) -> bool:
        """Whether nobody on the way can read along: through TLS, or on this machine."""
        return self.secure or is_loopback(urlsplit(self.url).hostname or "")

    @property
    def server(self) -> str:
        """`HOST:PORT`, or HOST alone."""
        return urlsplit(self.url).netloc

    def after(self, epoch: str | None, seq: int) -> str:
        """The address that goes on from message `seq` of run `epoch`; `seq` counts only where it is of one call."""
        if epoch is None:
            return self.url
        point = quote(epoch, safe="") + ("" if self.call is None else f":{seq}")
        return f"{self.url}{'&' if '?' in self.url else '?'}after={point}"


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text.strip())
        host = (parts.hostname or "").encode("idna")  # a UnicodeError is a ValueError
        known = parts.scheme.lower() in _SCHEMES and bool(host) and parts.port != 0
    except ValueError:
        known = False
    if not known or not text.strip().isprintable():
        raise RequestError(f"{_short(text)} is no address of a server: {_EXPECTED}")
    if "@" in parts.netloc:
        raise RequestError("names and passwords do not belong into an address: leave out what stands before the @")
    if parts.fragment or "after=" in parts.query:
        raise RequestError(f"{_short(text)} has a part that is not its own to say: leave out # and after=")
    return parts


def _call_of(path: str, text: str) -> str | None:
    """The call that `path` names, null for several. Raises RequestError where it names nothing."""
    rest = path[path.index("/v1/") :]
    if rest == PATH or (rest.startswith(f"{AGENTS_PATH}/") and rest.count("/") == 3):
        return None
    if rest.startswith(f"{PATH}/") and rest.count("/") == 3:
        return unquote(rest.rpartition("/")[2])
    raise RequestError(f"{_short(text)} is the address of nothing: {_EXPECTED}, {PATH}/CALL or {AGENTS_PATH}/AGENT")


def _quoted(name: str | None) -> str:
    if not name:
        raise RequestError("the name of a call or an agent must not be empty: leave it out to hear all calls")
    return quote(name, safe="")


def _short(text: str) -> str:
    return ascii(text if len(text) <= 80 else text[:80] + "…")
