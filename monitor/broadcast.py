"""The websocket service: every message of the contract to whoever may hear it. `docs/contract.md` is its manual.

A subscriber of `/v1/calls` hears every call, one of `/v1/calls/CALL` that call, one of `/v1/agents/AGENT` whatever call
the agent is on. It first gets `hello`. With a resume point it then gets what it missed; else, of each running call, the
`call_started` and the open alerts as they were published. Then everything live: nothing twice, no hole. What cannot be
had any more, and what a slow subscriber loses, is said by `missed`. The same port answers plain HTTP.
"""

import asyncio
import errno
import logging
import secrets
import socket
import ssl
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from monitor.access import check_origins, check_reach, load_certificate, tls_context
from monitor.audit import Audit
from monitor.backlog import Backlog, Line
from monitor.conversation import Conversation, decoded, moment
from monitor.errors import AccessError, RequestError, ServiceError
from monitor.greeting import LEFT_OUT, Greeting, Hole, greeting
from monitor.handshake import Connection, Door, Ties, kept_by, select_subprotocol
from monitor.history.earlier import Past
from monitor.identities import Identities
from monitor.memory import Memory, Told
from monitor.messages import (
    AnyMessage,
    CallKey,
    CallMessage,
    Error,
    Heartbeat,
    Resume,
    encode,
    rfc3339,
)
from monitor.page import read_page
from monitor.settings import Settings
from monitor.subscriber import BINARY, CLOSE_S, REFUSED, STUCK_S, UNSUPPORTED, Counters, Subscriber
from monitor.subscription import ALL_CALLS, PATH, Subscription, Topic
from monitor.tokens import Tokens

CLIENT_BYTES = 131_072
"""A longer message from a client closes it with code 1009."""
HANDSHAKE_S = 5.0
"""How long a client may take to ask for something, and to name its resume point."""
BUFFER_BYTES = 131_072
"""What the operating system is asked to hold for one subscriber at most; it takes twice as much."""
PAST_S = 4.0
"""How long a subscriber waits for what the history knows of an earlier run; then it is greeted like a newcomer."""
REASON_CHARACTERS = 120
"""A close frame has room for 123 bytes (RFC 6455, 5.5)."""
UNSUPPORTED_STATUS = 415
"""What HTTP would say to a binary frame."""
PROTOCOL_FAULTS = (1002, 1007, 1009)
"""Close codes with which the websocket library answers a broken peer (RFC 6455, 7.4.1)."""
FLUSH_S, STOP_S = 0.25, 0.4
"""`stop` leaves subscribers so long to take what waits for them, then so long to say goodbye."""

logger = logging.getLogger(__name__)


class Broadcaster:
    """One websocket service. It belongs to one event loop: call every method there."""

    def __init__(
        self,
        settings: Settings,
        ties: Ties,
        *,
        identities: Identities | None = None,
        tokens: Tokens | None = None,
        stuck_s: float = STUCK_S,
        epoch: str = "",
    ) -> None:
        """`tokens` stand in for those that `settings` name; without an `epoch` one is made."""
        self.counters = Counters()
        self.epoch = epoch or secrets.token_urlsafe(6)
        """Names this run."""
        self._settings, self._ties, self._tokens, self._stuck_s = settings, ties, tokens, stuck_s
        self._door = Door(settings, ties, self.counters, identities or Identities(settings.show_identities))
        self._tls: ssl.SSLContext | None = None
        self._server: Server | None = None
        self._where: str
        self._audit = Audit(None)
        self._subscribers: defaultdict[Topic, set[Subscriber]] = defaultdict(set)
        self._memory = Memory(settings.resume)
        self._looking = asyncio.Semaphore(1)
        """After a restart all come back at once: they look into the history one after the other."""

    async def start(self) -> None:
        """Listen on `settings.host` and `settings.port`. Raises ServiceError, or SettingError, when that cannot be."""
        settings, door = self._settings, self._door
        door.tokens = self._tokens or Tokens.load(settings)
        check_reach(settings, door.tokens is not None)
        check_origins(settings.origins)
        self._tls = tls_context(settings)
        door.page = read_page() if settings.page else None
        self._audit = Audit(Path(settings.audit_log) if settings.audit_log else None)
        if self._tokens is None and door.tokens is not None and not settings.audit_log:
            logger.warning("who watched what is told by --verbose only: set audit_log to keep it")
        try:
            self._server = await serve(
                self._attend,
                settings.host,
                settings.port,
                ssl=self._tls,
                process_request=door.answer,
                select_subprotocol=select_subprotocol,
                create_connection=kept_by(door),
                server_header=None,
                compression=None,  # messages are small: it would cost more than it saves
                max_size=CLIENT_BYTES,
                open_timeout=HANDSHAKE_S,
                ping_interval=None,  # each subscriber pings by itself, so that a stuck one is closed with its own code
                close_timeout=CLOSE_S,
            )
        except OSError as error:
            raise ServiceError(_why_not(settings, error)) from error
        for listening in self._server.sockets:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        host, port = self._server.sockets[0].getsockname()[:2]
        self._where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def reload(self) -> None:
        """Read the certificate and the tokens' key anew. Raises SettingError: then all is as it was."""
        tokens = self._tokens or Tokens.load(self._settings)
        if self._tls is not None:
            tls_context(self._settings)  # first in a context of its own: a broken file must not harm the one in use
            load_certificate(self._tls, self._settings)
        self._door.tokens = tokens
        self._audit.reopen()

    @property
    def address(self) -> str:
        """Where to subscribe, with the port that was really taken: `ws://127.0.0.1:8765/v1/calls`."""
        return f"{'ws' if self._tls is None else 'wss'}://{self._where}{PATH}"

    @property
    def page_address(self) -> str:
        """Where a browser finds the example page: `http://127.0.0.1:8765/`."""
        return f"{'http' if self._tls is None else 'https'}://{self._where}/"

    @property
    def subscribers(self) -> int:
        """How many there are now."""
        return sum(map(len, self._subscribers.values()))

    @property
    def connections(self) -> int:
        """Connections that stand, whether they subscribed or not."""
        return len(self._door.connections)

    @property
    def waiting(self) -> int:
        """Messages that wait now, over all subscribers; for each at most `settings.backlog`."""
        return sum(len(subscriber.backlog) for subscriber in self._everybody())

    @property
    def audit_lost(self) -> int:
        """Notes that the audit log lost."""
        return self._audit.lost

    def publish(self, message: AnyMessage) -> None:
        """Queue `message` for every subscriber that it concerns. Encodes it once and never waits."""
        if isinstance(message, CallMessage):
            told = self._memory.tell(message, time.monotonic())
            for subscriber in self._audience(message.call):
                self._note_call(subscriber, told)
                subscriber.hear(told)
            return
        line = Line(encode(message))
        for subscriber in self._subscribers.get(ALL_CALLS, ()):
            subscriber.add(line)
        # A fault may name another call, which is only for those who hear every call; the pipeline's hurts all.
        if isinstance(message, Error) and message.code == "pipeline":
            line = Line(encode(replace(message, text="scoring stopped: nothing is read any more")))
            for subscriber in self._everybody():
                if subscriber.topic != ALL_CALLS:
                    subscriber.add(line)

    def forget(self, calls: Iterable[CallKey]) -> None:
        """Tell nobody of these calls any more, which have ended."""
        for call in calls:
            self._memory.drop(call)

    async def stop(self) -> None:
        """Send what waits, close every subscriber with code 1001 and the port: within a second, whoever hangs."""
        if self._server is None:
            return
        writing = [subscriber.finish() for subscriber in self._everybody()]
        if writing:
            await asyncio.wait(writing, timeout=FLUSH_S)
        for connection in tuple(self._door.connections):
            if connection.request is None:  # a browser opens some ahead of need, and says nothing on them
                connection.transport.abort()
        self._server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._server.wait_closed()
        for connection in tuple(self._door.connections):  # stuck, or silent since before the handshake
            connection.transport.abort()
        await self._server.wait_closed()
        self._audit.close()

    def _everybody(self) -> Iterator[Subscriber]:
        for subscribers in self._subscribers.values():
            yield from subscribers

    def _audience(self, call: str) -> Iterator[Subscriber]:
        """Whoever hears `call` now."""
        kept = self._memory.call(call)
        yield from self._subscribers.get(ALL_CALLS, ())
        yield from self._subscribers.get(Topic("call", call), ())
        if kept is not None and kept.agent is not None:
            yield from self._subscribers.get(Topic("agent", kept.agent), ())

    def _note_call(self, subscriber: Subscriber, told: Told) -> None:
        """Whoever follows an agent comes from call to call: the audit log says which."""
        if subscriber.topic.kind == "agent" and told.call not in subscriber.calls and not told.final:
            who = {"subject": subscriber.grant.subject, "token": subscriber.grant.token, "topic": subscriber.wanted}
            self._audit.note("watched", **who, call=told.call)

    async def _attend(self, connection: ServerConnection) -> None:
        """One subscriber, from its handshake to its end."""
        assert isinstance(connection, Connection), "the factory makes these"
        try:
            if connection.refusal is not None:
                raise connection.refusal
            await self._serve(connection, await _resume_point(connection))
        except (AccessError, RequestError) as error:
            if connection.refusal is None:
                self.counters.refused[error.reason] += 1
            code = UNSUPPORTED if error.status == UNSUPPORTED_STATUS else REFUSED + error.status
            await connection.close(code, str(error)[:REASON_CHARACTERS])
        except ConnectionClosed:
            pass  # before it had said where to go on from

    async def _serve(self, connection: Connection, resume: Resume | None) -> None:
        """Greet a subscriber and serve it to its end. Raises RequestError where `resume` is no resume point of ours."""
        subscription, grant = connection.subscription, connection.grant
        past = await self._past(subscription, resume)
        assert grant is not None, "it was admitted"
        subscriber = Subscriber(
            connection,
            subscription,
            grant,
            Backlog(self._settings.backlog),
            self.counters,
            wanted=str(connection.wanted) if self._audit.private else str(subscription.topic),
            heartbeat_s=self._settings.heartbeat_s,
            stuck_s=self._stuck_s,
        )
        # In one step with what follows: nothing is published in between.
        lines = deque(self._greeting(subscriber, subscription, resume, past))
        past = resume = None  # or they would live as long as the connection
        topic = subscription.topic
        who: dict[str, str | int | float] = {
            "subject": grant.subject,
            "token": grant.token,
            "address": connection.peer,
            "topic": subscriber.wanted,
        }
        self._subscribers[topic].add(subscriber)
        self.counters.accepted += 1
        self._audit.note("subscribed", **who)
        began_s = time.monotonic()
        conversation = Conversation(subscriber, connection, self._door, self._memory, self._audit)
        try:
            await subscriber.serve(lines, conversation.take)
        finally:
            conversation.end()
            sent = connection.protocol.close_sent
            if sent is not None and sent.code in PROTOCOL_FAULTS:
                self.counters.refused["protocol"] += 1
            self._subscribers[topic].discard(subscriber)
            if not self._subscribers[topic]:
                del self._subscribers[topic]
            self._audit.note("left", **who, seconds=round(time.monotonic() - began_s, 1))

    async def _past(self, subscription: Subscription, resume: Resume | None) -> Past | None:
        """What the history holds of an earlier run that the subscriber comes from."""
        if resume is None or subscription.epoch is None or subscription.epoch == self.epoch:
            return None
        with suppress(TimeoutError):
            async with asyncio.timeout(PAST_S), self._looking:
                return await asyncio.to_thread(self._ties.past, subscription.epoch, subscription.topic, resume.after)
        return None

    def _greeting(
        self,
        subscriber: Subscriber,
        subscription: Subscription,
        resume: Resume | None,
        past: Past | None,
    ) -> list[Line]:
        """All that comes before everything live: what was missed of an earlier run, then this one as to a newcomer."""
        self._memory.forget(time.monotonic())
        topic, lines = subscription.topic, list[Line]()
        after = resume.after if resume is not None else None
        begun = resume.begun if resume is not None and isinstance(resume.begun, int) and topic == ALL_CALLS else None
        if past is not None:
            start = greeting(past.memory, topic, after)
            if not past.whole:
                start.lines.insert(0, Hole(None, 0, LEFT_OUT))
            lines, after = self._opening(subscriber, start, subscription.epoch or ""), None
        if past is None or topic.kind != "call":
            same = subscription.epoch == self.epoch
            start = greeting(self._memory, topic, after, begun=begun if same else None, same_epoch=same)
            lines += self._opening(subscriber, start, self.epoch)
        if resume is not None and subscription.epoch == self.epoch and topic.kind != "call":
            lines.append(Line(encode(Heartbeat(at=rfc3339(time.time())))))  # it has been told all that it missed
        if topic.kind == "call" and not start.after:
            subscriber.expect_no_more()  # it has ended, which this subscriber may have heard before its cut
        return lines

    def _opening(self, subscriber: Subscriber, start: Greeting, epoch: str) -> list[Line]:
        """One run of the server, from its `hello` on."""
        counts = epoch == self.epoch and subscriber.topic == ALL_CALLS  # how many others call is no agent's business
        hello = replace(
            self._ties.hello(),
            epoch=epoch,
            after=start.after,
            begun=self._memory.begun if counts else 0,
            heartbeat_s=self._settings.heartbeat_s,
            expires_at=moment(subscriber.grant),
        )
        at = rfc3339(time.time())
        lines = [Line(encode(hello))]
        for one in start.lines:
            if isinstance(one, Hole):
                lines.append(Line(encode(one.told(at))))
                continue
            self._note_call(subscriber, one)
            if (line := subscriber.picked(one)) is not None:
                lines.append(line)
        return lines


async def _resume_point(connection: Connection) -> Resume | None:
    """Where a subscription goes on from: None for a fresh start. Raises RequestError."""
    subscription = connection.subscription
    if subscription.epoch is None:
        return None
    if subscription.seq is not None:
        return Resume(after={subscription.topic.name: subscription.seq})
    try:
        async with asyncio.timeout(HANDSHAKE_S):
            text = await connection.recv()
    except TimeoutError:
        raise RequestError(f"no resume message came within {HANDSHAKE_S:g} s", 400, "resume") from None
    if isinstance(text, bytes):
        raise RequestError(BINARY, UNSUPPORTED_STATUS, "garbage")
    said = decoded(text)
    if not isinstance(said, Resume):
        raise RequestError("after ?after=EPOCH the first message is a resume", 400, "resume")
    return said


def _why_not(settings: Settings, error: OSError) -> str:
    where = f"port {settings.port} on {settings.host}"
    match error.errno:
        case errno.EADDRINUSE:
            return f"{where} is taken: another callmood may run; choose another by --port"
        case errno.EACCES:
            return f"{where} may not be opened by this user; choose one from 1024 to 65535 by --port"
        case _:
            return f"{where} cannot be opened: {error.strerror or error}; choose another by --set host=127.0.0.1"
