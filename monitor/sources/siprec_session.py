"""One SIP session with a recording client: offers are answered, until something ends it (RFC 7866, RFC 3261 13 to 15)."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from monitor.errors import CallmoodError, ProtocolError, SourceError
from monitor.sources import sip
from monitor.sources.complaints import Complaints
from monitor.sources.recording_metadata import Metadata, Participant, parse_metadata
from monitor.sources.sdp import answer, parse_offer
from monitor.sources.sip import Address, Request, Uri
from monitor.sources.sip_body import ACCEPTED, SDP, UnsupportedBodyError, parse_body
from monitor.sources.sip_dialog import LEAST_SESSION_S, Dialog, expires_s, session_timer
from monitor.sources.sip_sockets import EVERYWHERE, SipSockets
from monitor.sources.sip_transactions import Transaction, Transactions
from monitor.sources.siprec_recording import Desk, Recording, UnusableOfferError

_log = logging.getLogger(__name__)

ALLOWED = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE")
EXTENSIONS = ("siprec", "timer")
"""What a client may require of us (RFC 7866, RFC 4028)."""
RETRY_S = 10
_LONGEST_REASON = 200

SipHeaders = Sequence[tuple[str, str]]
ALLOW: SipHeaders = (("Allow", ", ".join(ALLOWED)), ("Supported", ", ".join(EXTENSIONS)))
ACCEPT: SipHeaders = (("Accept", ", ".join(ACCEPTED)),)


class TooShortSessionError(ProtocolError):
    """A session timer under the least: 422."""


@dataclass(frozen=True)
class Office:
    """What all sessions of one listener share."""

    desk: Desk
    sockets: SipSockets
    transactions: Transactions
    complaints: Complaints
    now: Callable[[], float]

    def respond(
        self,
        transaction: Transaction,
        status: int,
        reason: str,
        *,
        own_tag: str = "",
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        """Answer a request; a final answer has a tag (RFC 3261 8.2.6.2). Refusals are told in the log."""
        request, came_from = transaction.request, transaction.came_from
        if status > 100:
            own_tag = own_tag or secrets.token_hex(8)
        headers = [*headers, ("Server", "callmood")]
        data = sip.response(request, status, reason, came_from=came_from, own_tag=own_tag, headers=headers, body=body)
        self.transactions.respond(transaction, status, data, self.now())
        if status >= 400:
            told = dict(headers).get("Warning", reason).removeprefix("399 callmood ")
            self.complaints.tell(f"{request.method} from {came_from[0]} refused with {status}: {told}")


class Session:
    """From the INVITE to the BYE. `gone` is called when it is over."""

    def __init__(self, office: Office, invite: Transaction, gone: Callable[["Session"], None]) -> None:
        self._office, self._gone = office, gone
        self.own_tag = secrets.token_hex(8)
        self.answering: Transaction | None = None
        """The request whose offer is being answered."""
        self.unacknowledged: Transaction | None = None
        """The INVITE that was accepted and whose ACK is awaited."""
        self._dialog = Dialog(invite.request, self.own_tag, invite.peer)
        self._recording: Recording | None = None
        self._task: asyncio.Task[None] | None = None
        self._answer = b""
        self._id, self._version = secrets.randbelow(2**53), 0
        self._heard_s = office.now()
        self._expires_s: float | None = None

    def is_of(self, request: Request) -> bool:
        """Whether a request comes from this dialog's client."""
        return (request.call_id, request.sender_tag) == (self._dialog.call_id, self._dialog.sender_tag)

    def request(self, transaction: Transaction) -> None:
        """A request within the dialog."""
        request = transaction.request
        self._heard_s = self._office.now()
        if not self._dialog.follows(request, transaction.peer):
            return self._office.respond(transaction, 500, "Request Is Older Than The Last")
        match request.method:
            case "BYE":
                self._office.respond(transaction, 200, "OK")
                self._end("end")
            case "OPTIONS":
                self._office.respond(transaction, 200, "OK", headers=[*ALLOW, *ACCEPT])
            case _ if self.answering is not None:
                headers = [("Retry-After", "1")]
                self._office.respond(transaction, 500, "The Last Offer Is Still Being Answered", headers=headers)
            case _:
                self.begin(transaction)

    def begin(self, transaction: Transaction) -> None:
        """Answer the offer of an INVITE or UPDATE."""
        if transaction.is_invite:
            self._office.respond(transaction, 100, "Trying")
        self.answering = transaction
        self._task = asyncio.get_running_loop().create_task(self._run(transaction))

    def cancel(self, status: int = 487, reason: str = "Request Terminated") -> None:
        """Refuse the request that is being answered, and with it a session that has not begun."""
        transaction, self.answering = self.answering, None
        if transaction is None:
            return
        if self._task is not None:
            self._task.cancel()
        self._office.respond(transaction, status, reason, own_tag=self.own_tag)
        if self._recording is None:
            self._gone(self)

    def acknowledge(self, ack: Request) -> None:
        """The ACK of an accepted INVITE (RFC 3261 13.3.1.4)."""
        accepted = self.unacknowledged
        if accepted is not None and ack.cseq == accepted.request.cseq:
            accepted.settled, self.unacknowledged = True, None
            self._heard_s = self._office.now()

    def tick(self, now_s: float) -> None:
        """End what nobody keeps alive any more."""
        recording, settings = self._recording, self._office.desk.settings
        if recording is None or self.answering is not None:
            return
        limit_s = settings.held_s if recording.on_hold else settings.idle_s
        setting = "held_s" if recording.on_hold else "idle_s"
        if self._expires_s is not None and now_s > self._expires_s:
            self.end_by_us("the client did not refresh the session in the time that it had promised (RFC 4028)")
        elif now_s - max(self._heard_s, recording.heard_s) > limit_s:
            self.end_by_us(f"neither audio nor signalling came for {limit_s:g} s (siprec.{setting})")

    def end_by_us(self, why: str) -> None:
        """End what cannot go on, with an error."""
        name = self._recording.name if self._recording else ""
        self._say_bye()
        self._end(f"error: {why}", ProtocolError(f"{name}: {why}"))

    def stop(self) -> None:
        """End what could go on."""
        self.cancel(503, "Service Unavailable")
        if self._recording is not None:
            self._say_bye()
            self._end("stopped")

    async def _run(self, transaction: Transaction) -> None:
        """Answer one offer, whatever it holds."""
        try:
            await self._take(transaction)
        except CallmoodError as error:
            self._refuse(transaction, error)
        except Exception as fault:
            _log.exception("an offer of %s could not be answered", transaction.came_from[0])
            self._refuse(transaction, SourceError(f"a fault of ours: {fault!r}; report this"))

    async def _take(self, transaction: Transaction) -> None:
        request, office = transaction.request, self._office
        body = parse_body(request.headers, request.body)
        limit = office.desk.settings.metadata_bytes
        metadata = None if body.metadata is None else parse_metadata(body.metadata, limit)
        media = None if body.sdp is None else parse_offer(body.sdp)
        timer_s = _timer_s(request)
        if media is None and self._recording is None:
            raise UnusableOfferError(f"INVITE without an SDP offer: expected {SDP}, let the client offer its streams")
        recording = self._recording or Recording(office.desk, _name(request, metadata), _caller(request, metadata))
        try:
            if media is not None or metadata is not None:
                answered = await recording.take(media, metadata, transaction.came_from[0])
            if media is not None:
                self._version += 1
                self._answer = answer(self._media_host, self._id, self._version, answered)
        except BaseException:
            if self._recording is None:
                recording.close("error: the call could not be begun")
            raise
        self._recording, self.answering = recording, None
        self._expires_s = office.now() + expires_s(timer_s) if timer_s else None
        self._accept(transaction, with_sdp=transaction.is_invite or media is not None, timer_s=timer_s)

    def _accept(self, transaction: Transaction, with_sdp: bool, timer_s: int) -> None:
        """200. An INVITE without an offer gets ours: what was answered last (RFC 3261 14.2)."""
        request = transaction.request
        tcp = ";transport=tcp" if transaction.peer.connection else ""
        headers = [
            *(("Record-Route", route) for route in request.headers.every("record-route")),
            ("Contact", f"<sip:{self._sent_by}{tcp}>;+sip.srs"),
            *ALLOW,
            *([("Session-Expires", f"{timer_s};refresher=uac"), ("Require", "timer")] if timer_s else []),
            *([("Content-Type", SDP)] if with_sdp else []),
        ]
        body = self._answer if with_sdp else b""
        if transaction.is_invite:
            self.unacknowledged = transaction
        self._office.respond(transaction, 200, "OK", own_tag=self.own_tag, headers=headers, body=body)

    def _refuse(self, transaction: Transaction, error: CallmoodError) -> None:
        """A session that runs goes on as it was."""
        self.answering = None
        status, reason, headers = _refusal(error)
        warning = ("Warning", f'399 callmood "{_quoted(str(error))}"')
        self._office.respond(transaction, status, reason, own_tag=self.own_tag, headers=[*headers, warning])
        if self._recording is None:
            self._gone(self)

    def _end(self, reason: str, fault: CallmoodError | None = None) -> None:
        self.cancel()
        if self.unacknowledged is not None:
            self.unacknowledged.settled = True
        if self._recording is not None:
            self._recording.close(reason, fault)
            self._recording = None
            self._gone(self)

    def _say_bye(self) -> None:
        branch, request = self._dialog.request("BYE", self._sent_by)
        self._office.transactions.ask(request, branch, self._dialog.peer, self._office.now())

    @property
    def _media_host(self) -> str:
        host = self._office.desk.receiver.host
        return self._office.sockets.own_host(self._dialog.peer) if host in EVERYWHERE else host

    @property
    def _sent_by(self) -> str:
        sockets = self._office.sockets
        return sip.host_and_port(sockets.own_host(self._dialog.peer), sockets.port)


def _timer_s(request: Request) -> int:
    timer_s = session_timer(request)
    if 0 < timer_s < LEAST_SESSION_S:
        raise TooShortSessionError(f"session timer of {timer_s} s, expected at least {LEAST_SESSION_S} s")
    return timer_s


def _name(request: Request, metadata: Metadata | None) -> str:
    return (metadata.session if metadata else "") or request.call_id


def _caller(request: Request, metadata: Metadata | None) -> Participant | None:
    """The sender of a plain SIP call; a recording client takes no part in the call that it records."""
    records = "siprec" in (word.lower() for word in request.headers.every("require"))
    if records or metadata is not None or "+sip.src" in request.headers.first("contact").lower():
        return None
    sender = Address.parse(request.headers.first("from"))
    return Participant(sip.sendable(str(Uri.parse(sender.uri))), sip.sendable(sender.name))


def _refusal(error: CallmoodError) -> tuple[int, str, SipHeaders]:
    match error:
        case UnsupportedBodyError():
            return 415, "Unsupported Media Type", ACCEPT
        case UnusableOfferError():
            return 488, "Not Acceptable Here", ACCEPT
        case TooShortSessionError():
            return 422, "Session Interval Too Small", [("Min-SE", str(LEAST_SESSION_S))]
        case ProtocolError():
            return 400, str(error)[:_LONGEST_REASON], []
        case _:
            return 503, "Service Unavailable", [("Retry-After", str(RETRY_S))]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', "'")
