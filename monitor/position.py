"""Where a subscription stands: what was heard of each call, so that a subscriber can go on from there after a cut. Pure."""

from monitor.messages import AnyMessage, CallEnded, CallMessage, CallStarted, Heartbeat, Hello, Missed

ENDED_NAMED_S = 120.0
"""A call is still named when a subscriber comes back so long after its end was heard."""


class Position:
    """Takes in every message of one subscription, over all its connections."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Go on like a newcomer."""
        self.epoch: str | None = None
        """The run of the server that `seq` belongs to; null before the first `hello`."""
        self._heard: dict[str, int] = {}
        self._ended: dict[str, float] = {}
        """Call → when its end was heard; the oldest first."""
        self._greeting: dict[str, int] = {}
        """Of a newcomer: running call → its last `seq` before what follows live; empty once that has begun.

        Until then nothing of these calls counts as heard: a greeting that is cut short is told from the beginnings.
        """
        self._greeted: set[tuple[str, int]] = set()
        """What was heard of a greeting that has not come to its end."""
        self.begun = 0
        """Calls of this run that had begun before this subscriber came, or of which it was told."""
        self._begun_at_hello: int | None = None
        """Of one that came back: what `begun` is once it has been told what it missed; null when it has."""

    def seq(self, call: str) -> int:
        """The last message heard of `call`."""
        return self._heard.get(call, 0)

    def named(self, now_s: float) -> dict[str, int]:
        """Call → the last `seq` heard, of each that a `resume` has to name. `now_s` monotonic."""
        self._purge(now_s)
        return dict.fromkeys(self._greeting, 0) | self._heard

    def take(self, message: AnyMessage, now_s: float) -> bool:
        """Note `message`; whether it says anything new."""
        match message:
            case Hello():
                self._begin(message)
            case Heartbeat():
                self._go_live()
            case Missed(call=str() as call) if call in self._ended:
                return False  # the server has forgotten it, and there was nothing more to hear
            case Missed(call=str() as call, seq=int() as seq):
                self._go_live_beyond(call, seq)
                self._heard[call] = max(seq, self._heard.get(call, 0))
            case Missed(call=str() as call, count=0):
                self._drop(call)
            case CallMessage():
                return self._note(message, now_s)
        return True

    def _begin(self, hello: Hello) -> None:
        if hello.epoch != self.epoch:
            self.forget()
            self.epoch, self._greeting, self.begun = hello.epoch or None, dict(hello.after), hello.begun
        else:
            self._heard = dict.fromkeys(self._greeting, 0) | self._heard
            self._greeting, self._begun_at_hello = {}, hello.begun

    def _note(self, message: CallMessage, now_s: float) -> bool:
        call, seq = message.call, message.seq
        self._go_live_beyond(call, seq)
        if self._greeting:
            self._greeted.add((call, seq))
            return True
        if seq <= self._heard.get(call, 0):
            return False
        self._heard[call] = seq
        if isinstance(message, CallStarted) and self._begun_at_hello is None:
            self.begun += 1
        if isinstance(message, CallEnded):
            self._ended[call] = now_s
            self._purge(now_s)
        if (call, seq) in self._greeted:
            self._greeted.discard((call, seq))
            return False
        return True

    def _go_live_beyond(self, call: str, seq: int) -> None:
        """Message `seq` of `call` has come: a newcomer's greeting is over where it goes beyond that."""
        if self._greeting and seq > self._greeting.get(call, 0):
            self._go_live()

    def _go_live(self) -> None:
        """The greeting has come to its end."""
        if self._begun_at_hello is not None:
            self.begun, self._begun_at_hello = self._begun_at_hello, None
        self._heard = self._greeting | self._heard
        self._greeting = {}
        self._greeted.clear()

    def _purge(self, now_s: float) -> None:
        if self._begun_at_hello is not None:
            return  # until `begun` counts them, their names tell that they were heard
        while self._ended and now_s - next(iter(self._ended.values())) > ENDED_NAMED_S:
            self._drop(next(iter(self._ended)))

    def _drop(self, call: str) -> None:
        self._heard.pop(call, None)
        self._ended.pop(call, None)
