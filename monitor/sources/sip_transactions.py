"""SIP transactions (RFC 3261 17 and 13.3.1.4, RFC 6026): what is sent again, until when, and what came before. Pure.

A request that comes again is answered with what was answered; a final answer to an INVITE is sent again until its ACK;
a request of ours is sent again until its answer. Times are seconds of any steady clock.
"""

import heapq
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from monitor.sources.sip import Request, Response, Via

T1_S, T2_S = 0.5, 4.0
"""RFC 3261 17.1.1.1 and 17.1.2.2: the first pause before something is sent again, and the longest."""
LIFETIME_S = 64 * T1_S
"""After so long nothing is sent again, and what comes again is new."""
_MOST = 50_000
"""Transactions that are remembered; while there are more, what comes is dropped."""

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a message came from, and where its answer goes."""

    host: str
    port: int
    connection: int = 0
    """Number of the TCP connection; 0 over UDP."""

    def answered_at(self, via: Via) -> "Peer":
        """Where an answer goes: never to another host than asked; to another port where no `rport` stands (RFC 3581 4)."""
        return self if self.connection or "rport" in via.params else Peer(self.host, via.port)


@dataclass(eq=False, slots=True)
class Sent:
    """What was last sent about one request, ours or theirs, and may have to be sent again."""

    key: Key
    peer: Peer
    """Where it goes."""
    sent: bytes = b""
    settled: bool = False
    """Nothing is to be sent again: acknowledged, or answered."""
    pause_s: float = T1_S


@dataclass(eq=False, slots=True)
class Transaction(Sent):
    """One request of a client."""

    request: Request = field(kw_only=True)
    came_from: tuple[str, int] = field(kw_only=True)
    """Address and port, as in `received` and `rport`."""
    status: int = 0
    """Of the last answer; under 200 it is still to be answered."""

    @property
    def is_invite(self) -> bool:
        """Whether an ACK is expected."""
        return self.request.method == "INVITE"


class Transactions:
    """All transactions of one listener. `send` sends bytes to a peer; `unheard` is told of a final answer to an INVITE that
    nobody acknowledged."""

    def __init__(self, send: Callable[[Peer, bytes], None], unheard: Callable[[Transaction], None]) -> None:
        self._send, self._unheard = send, unheard
        self._known: dict[Key, Transaction] = {}
        self._asked: dict[Key, Sent] = {}
        self._due: list[tuple[float, int, Sent, bool]] = []
        """(when, order, which, whether it ends then)."""
        self._order = count()
        self.dropped = 0
        """Requests that came while too many were remembered."""

    @property
    def asking(self) -> int:
        """Requests of ours without an answer yet."""
        return len(self._asked)

    def take(self, request: Request, peer: Peer) -> Transaction | None:
        """The transaction of a new request; None where that came before (its answer is sent again) or is an ACK.

        Raises ProtocolError for one that cannot be answered.
        """
        via = request.via
        key = _key(request, via, peer)
        known = self._known.get(key)
        if request.method == "ACK":
            if known is not None and known.status >= 300:
                known.settled = True
            return None
        if known is not None:
            if known.sent:
                self._send(known.peer, known.sent)
            return None
        if len(self._known) >= _MOST:
            self.dropped += 1
            return None
        came_from = (peer.host, peer.port)
        transaction = Transaction(key, peer.answered_at(via), request=request, came_from=came_from)
        self._known[key] = transaction
        return transaction

    def invite_of(self, cancel: Request, peer: Peer) -> Transaction | None:
        """The INVITE that a CANCEL means (RFC 3261 9.2)."""
        key = _key(cancel, cancel.via, peer)
        return self._known.get((*key[:-1], "INVITE"))

    def respond(self, transaction: Transaction, status: int, response: bytes, now_s: float) -> None:
        """Answer; where that is final it is kept for what comes again, and for an INVITE sent until the ACK."""
        if transaction.status >= 200:
            return
        transaction.status, transaction.sent = status, response
        self._send(transaction.peer, response)
        if status < 200:
            return
        self._at(now_s + LIFETIME_S, transaction, ends=True)
        # Over TCP a refusal cannot get lost, but a 2xx may on its further way (13.3.1.4).
        if transaction.is_invite and (status < 300 or not transaction.peer.connection):
            self._at(now_s + T1_S, transaction)

    def ask(self, request: bytes, branch: str, peer: Peer, now_s: float) -> None:
        """Send a request of ours (none is an INVITE), again and again over UDP until it is answered."""
        asked = self._asked[(branch,)] = Sent((branch,), peer, request)
        self._send(peer, request)
        self._at(now_s + LIFETIME_S, asked, ends=True)
        if not peer.connection:
            self._at(now_s + T1_S, asked)

    def answered(self, response: Response) -> None:
        """An answer to a request of ours came; others are passed over."""
        asked = self._asked.get((_branch(response),))
        if asked is not None and response.status >= 200:
            asked.settled = True
            del self._asked[asked.key]

    def tick(self, now_s: float) -> None:
        """Send again and forget what is due."""
        while self._due and self._due[0][0] <= now_s:
            _, _, sent, ends = heapq.heappop(self._due)
            if ends:
                self._forget(sent)
            elif not sent.settled:
                self._send(sent.peer, sent.sent)
                sent.pause_s = min(2 * sent.pause_s, T2_S)
                self._at(now_s + sent.pause_s, sent)

    def _forget(self, sent: Sent) -> None:
        given_up, sent.settled = not sent.settled, True
        if not isinstance(sent, Transaction):
            self._asked.pop(sent.key, None)
            return
        del self._known[sent.key]
        if given_up and sent.is_invite:
            self._unheard(sent)

    def _at(self, when_s: float, sent: Sent, ends: bool = False) -> None:
        heapq.heappush(self._due, (when_s, next(self._order), sent, ends))


def new_branch() -> str:
    """For the Via of a request of ours."""
    return f"z9hG4bK{secrets.token_hex(8)}"


def _key(request: Request, via: Via, peer: Peer) -> Key:
    """RFC 3261 17.2.3; clients of RFC 2543 are told apart by call and number. The peer's host keeps others out."""
    method = "INVITE" if request.method == "ACK" else request.method
    if via.branch:
        return (peer.host, via.branch, via.host, str(via.port), method)
    return (peer.host, request.call_id, request.sender_tag, str(request.cseq), method)


def _branch(response: Response) -> str:
    vias = response.headers.every("via")
    return vias[0].partition("branch=")[2].partition(";")[0].strip() if vias else ""
