"""The SIPREC recording server: a `Listener` whose calls come by SIP and RTP (RFC 7866), plain SIP calls among them.

sip_sockets (bytes) → sip (messages) → sip_transactions (what came before) → siprec (which call) → siprec_session (offer and
answer) → siprec_recording (streams and parties) → rtp
"""

import asyncio
import logging
import time
from collections.abc import Callable

from monitor.errors import ProtocolError, SettingError
from monitor.identities import Identities
from monitor.settings import Settings
from monitor.sources import BlockQueue, CallNames, sip
from monitor.sources.allowlist import check_listener
from monitor.sources.complaints import Complaints
from monitor.sources.rtp import RtpReceiver
from monitor.sources.sip_sockets import SipSockets
from monitor.sources.sip_transactions import LIFETIME_S, Peer, Transaction, Transactions
from monitor.sources.siprec_recording import Desk
from monitor.sources.siprec_session import ACCEPT, ALLOW, ALLOWED, EXTENSIONS, RETRY_S, Office, Session

_log = logging.getLogger(__name__)

_TICK_S = 0.1


class SiprecServer:
    """Raises SettingError for settings that cannot hold."""

    def __init__(self, settings: Settings, names: CallNames, now: Callable[[], float] = time.monotonic) -> None:
        if settings.siprec is None:
            raise SettingError("the SIPREC server is off: write [siprec] into the settings file")
        self._settings, self._rtp_settings = settings.siprec, settings.rtp
        check_listener("siprec", self._settings.host, self._settings.allow)
        if not self._settings.transports:
            raise SettingError('siprec.transports is empty: for example transports = ["udp", "tcp"]')
        self._most_calls = min(self._settings.max_calls, settings.max_calls)
        self._names, self._now = names, now
        self._complaints = Complaints(_log, now)
        self._sockets = SipSockets(self._settings, self._received, self._complaints, now)
        self._transactions = Transactions(self._sockets.send, self._unheard)
        self._sessions: dict[str, Session] = {}
        self._office: Office
        self._draining = False
        self._refusing = ""
        self._timer: asyncio.TimerHandle | None = None
        self.goodbye_s = 1.0
        """How long the answers to our BYEs are waited for at the end."""
        self.malformed = 0
        """Messages that are no SIP."""

    @property
    def port(self) -> int:
        """Of SIP, once it listens."""
        return self._sockets.port

    @property
    def calls(self) -> int:
        """Sessions that run or begin."""
        return len(self._sessions)

    @property
    def foreign(self) -> int:
        """Messages and connections from hosts that are not allowed."""
        return self._sockets.foreign

    @property
    def flooded(self) -> int:
        """Messages beyond what a host may send."""
        return self._sockets.flooded

    async def start(self, queue: BlockQueue, identities: Identities) -> str:
        """See Listener."""
        receiver = RtpReceiver(self._rtp_settings, queue, self._now)
        desk = Desk(self._settings, queue, receiver, self._names, identities)
        self._office = Office(desk, self._sockets, self._transactions, self._complaints, self._now)
        await self._sockets.open()
        self._tick()
        transports = " and ".join(name.upper() for name in self._settings.transports)
        return f"SIPREC: sip:{sip.host_and_port(self._settings.host, self.port)} over {transports}"

    def refuse(self, why: str) -> None:
        """See Listener."""
        self._refusing = why

    async def drain(self) -> None:
        """See Listener."""
        self._draining = True
        until_s = self._now() + self._settings.drain_s
        if self._sessions:
            text = (
                "SIPREC drains: new calls get 503, %d calls go on for at most %g s; a second SIGTERM ends them at once"
            )
            _log.warning(text, self.calls, self._settings.drain_s)
        while self._sessions and self._now() < until_s:
            await asyncio.sleep(_TICK_S)

    async def stop(self) -> None:
        """See Listener."""
        self._draining = True
        for session in list(self._sessions.values()):
            session.stop()
        until_s = self._now() + self.goodbye_s
        while self._transactions.asking and self._now() < until_s:
            await asyncio.sleep(_TICK_S / 10)
        if self._timer is not None:
            self._timer.cancel()
            counts = (self._sockets.foreign, self._sockets.flooded, self.malformed, self._transactions.dropped)
            _log.info("SIP: %d messages foreign, %d flooded, %d malformed, %d too many at once", *counts)
            self._office.desk.receiver.close()
        self._sockets.close()

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)
        now_s = self._now()
        self._transactions.tick(now_s)
        self._sockets.tick()
        for session in list(self._sessions.values()):
            session.tick(now_s)

    def _received(self, data: bytes, peer: Peer) -> None:
        try:
            message = sip.parse(data)
            if isinstance(message, sip.Response):
                return self._transactions.answered(message)
            transaction = self._transactions.take(message, peer)
        except ProtocolError as error:
            self.malformed += 1
            return self._complaints.tell(f"{peer.host} sent what cannot be answered: {error}")
        if transaction is not None:
            self._answer(transaction, message, peer)
        elif message.method == "ACK" and (session := self._session_of(message)):
            session.acknowledge(message)

    def _answer(self, transaction: Transaction, request: sip.Request, peer: Peer) -> None:
        if wrong := sip.fault(request):
            self._office.respond(transaction, 400, wrong)
        elif request.method == "CANCEL":
            self._cancel(transaction, request, peer)
        elif request.method not in ALLOWED:
            self._office.respond(transaction, 405, "Method Not Allowed", headers=ALLOW)
        elif unknown := [word for word in request.headers.every("require") if word.lower() not in EXTENSIONS]:
            headers = [("Unsupported", ", ".join(unknown))]
            self._office.respond(transaction, 420, "Bad Extension", headers=headers)
        elif request.own_tag:
            if session := self._session_of(request):
                session.request(transaction)
            else:
                self._office.respond(transaction, 481, "Call/Transaction Does Not Exist")
        elif request.method in ("INVITE", "OPTIONS"):
            self._answer_new(transaction, request)
        else:
            self._office.respond(transaction, 481, "Call/Transaction Does Not Exist")

    def _answer_new(self, transaction: Transaction, request: sip.Request) -> None:
        """Outside a dialog."""
        busy = "draining" if self._draining else "full" if self.calls >= self._most_calls else self._refusing
        if busy:
            headers = [("Retry-After", str(RETRY_S)), ("Warning", f'399 callmood "{busy}"')]
            self._office.respond(transaction, 503, "Service Unavailable", headers=headers)
        elif request.method == "OPTIONS":
            self._office.respond(transaction, 200, "OK", headers=[*ALLOW, *ACCEPT])
        elif any(session.is_of(request) for session in self._sessions.values()):
            self._office.respond(transaction, 482, "This Call Came On Another Way Too")
        else:
            session = Session(self._office, transaction, self._gone)
            self._sessions[session.own_tag] = session
            session.begin(transaction)

    def _cancel(self, transaction: Transaction, cancel: sip.Request, peer: Peer) -> None:
        invite = self._transactions.invite_of(cancel, peer)
        if invite is None:
            return self._office.respond(transaction, 481, "Call/Transaction Does Not Exist")
        self._office.respond(transaction, 200, "OK")
        for session in list(self._sessions.values()):
            if session.answering is invite:
                session.cancel()

    def _session_of(self, request: sip.Request) -> Session | None:
        session = self._sessions.get(request.own_tag)
        return session if session is not None and session.is_of(request) else None

    def _unheard(self, invite: Transaction) -> None:
        for session in list(self._sessions.values()):
            if session.unacknowledged is invite:
                session.end_by_us(f"the client did not acknowledge our answer (no ACK within {LIFETIME_S:g} s)")

    def _gone(self, session: Session) -> None:
        self._sessions.pop(session.own_tag, None)
