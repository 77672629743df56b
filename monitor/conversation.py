"""What a subscriber may say on its open connection: acknowledge an alert, or send a new token before its own expires."""

import asyncio
import time

import msgspec
from msgspec.structs import replace

from monitor.audit import Audit
from monitor.backlog import Line
from monitor.errors import AccessError, RequestError
from monitor.handshake import Connection, Door
from monitor.memory import Memory
from monitor.messages import (
    Acknowledge,
    ClientMessage,
    Error,
    NewToken,
    Resume,
    TokenAccepted,
    decode_client,
    encode,
    rfc3339,
)
from monitor.subscriber import REFUSED, Subscriber
from monitor.subscription import ALL_CALLS, Topic
from monitor.tokens import Grant

LOOK_AGAIN_S = 30.0
"""A token's expiry is looked at so often at least: the clock on the wall may be set, and the machine may sleep."""


class Conversation:
    """One subscriber's side of the talk, and the expiry of its token. What cannot be done is answered, not punished."""

    def __init__(
        self, subscriber: Subscriber, connection: Connection, door: Door, memory: Memory, audit: Audit
    ) -> None:
        self._subscriber, self._connection = subscriber, connection
        self._door, self._memory, self._audit = door, memory, audit
        self._timer: asyncio.TimerHandle | None = None
        self._watch_expiry()

    def end(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()

    async def take(self, text: str) -> None:
        """Something that the subscriber said."""
        try:
            match decoded(text):
                case Acknowledge() as acknowledge:
                    self._acknowledge(acknowledge)
                case NewToken() as new:
                    await self._renew(new.token)
                case Resume():
                    raise RequestError("resume comes first, after connecting with ?after=EPOCH", 400, "resume")
        except (AccessError, RequestError) as error:
            self._door.counters.refused[error.reason] += 1
            answer = Error(at=rfc3339(time.time()), code=error.code, text=str(error))
            self._subscriber.add(Line(encode(answer), ("", "error")))

    def _acknowledge(self, said: Acknowledge) -> None:
        grant = self._subscriber.grant
        if not grant.acknowledges:
            raise AccessError("the token lacks the scope acknowledge", 403, "scope")
        if self._acknowledged(said):
            raise RequestError(f"alert {said.alert[:60]!a} is looked after already", 400, "alert")
        by = said.by.strip() or grant.subject
        if not by:
            raise RequestError("an acknowledgement has no name: say who in `by`", 400, "alert")
        if not by.isprintable():
            raise RequestError(
                "`by` has characters that cannot be shown: expected a name in printable text", 400, "alert"
            )
        call = self._memory.call(said.call)
        assert call is not None, "its alert is open"
        call.acknowledging.add(said.alert)
        self._note("acknowledged", call=said.call, alert=said.alert, by=by)
        self._door.ties.acknowledge(replace(said, by=by))

    def _acknowledged(self, said: Acknowledge) -> bool:
        """Whether somebody looks after the alert. Raises RequestError where it is not open, or not this subscriber's."""
        call = self._memory.call(said.call)
        if call is not None:
            heard = (ALL_CALLS, Topic("call", said.call), Topic("agent", call.agent or ""))
            told = call.open_alerts.get(said.alert)
            if told and self._subscriber.topic in heard and self._subscriber.view(told[0]) is not None:
                return len(told) > 1 or said.alert in call.acknowledging
        raise RequestError(f"no alert {said.alert[:60]!a} is open in call {said.call[:60]!a}", 404, "alert")

    async def _renew(self, token: str) -> None:
        if self._door.tokens is None:
            raise RequestError("no tokens are asked for here", 400, "token")
        grant = await self._door.grant(token)
        wanted = self._connection.wanted
        if not grant.hears(wanted):
            raise AccessError(f"the token does not reach {str(wanted)[:60]!a}", 403, "scope")
        self._door.hold(self._connection, grant)
        self._subscriber.grant = grant
        self._watch_expiry()
        self._note("renewed", topic=str(self._connection.wanted))
        self._subscriber.add(Line(encode(TokenAccepted(at=rfc3339(time.time()), expires_at=moment(grant) or ""))))

    def _watch_expiry(self) -> None:
        """Look whether the token has expired, and again when it is time."""
        if self._timer is not None:
            self._timer.cancel()
        expires_s = self._subscriber.grant.expires_s
        if expires_s is None:
            return
        left_s = expires_s - time.time()
        if left_s <= 0:
            self._door.counters.refused["expired"] += 1
            self._subscriber.leave(REFUSED + 401, "the token has expired: connect with a new one")
        else:
            wait_s = min(left_s + 0.001, LOOK_AGAIN_S)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._watch_expiry)

    def _note(self, event: str, **fields: str) -> None:
        grant = self._subscriber.grant
        self._audit.note(event, subject=grant.subject, token=grant.token, **fields)


def decoded(text: str | bytes) -> ClientMessage:
    """What a subscriber said. Raises RequestError."""
    try:
        return decode_client(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = ascii(str(error))[1:-1][:100]
        expected = "expected acknowledge, token or resume as JSON"
        raise RequestError(f"this message means nothing here ({why}): {expected}") from None


def moment(grant: Grant) -> str | None:
    """When it expires, RFC 3339; None for never."""
    return None if grant.expires_s is None else rfc3339(grant.expires_s)
