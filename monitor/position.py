"""Where a subscription stands: what was heard of each call, so that a subscriber can go on from there after a cut. Pure."""

from monitor.messages import AnyMessage, CallEnded, CallMessage, Heartbeat, Hello, Missed

ENDED_NAMED_S = 120.0
"""A call is still named when a subscriber comes back so long after its end: the server keeps it half as long."""


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
        """Call → when it ended or was found missing; the oldest first."""
        self._whole: set[str] = set()
        """Ended calls whose end was heard."""
        self._greeting: dict[str, int] = {}
        """Of a newcomer: running call → its last `seq` before what follows live; empty once that has begun.

        Until then these calls have no place in `_heard`: a greeting that is cut short is told from the beginnings.
        """
        self._greeted: set[tuple[str, int]] = set()
        """What was heard of a greeting that has not come to its end."""

    def seq(self, call: str) -> int:
        """The last message heard of `call`."""
        return self._heard.get(call, 0)

    def named(self, now_s: float) -> dict[str, int]:
        """Call → the last `seq` heard, of each that a `resume` has to name. `now_s` monotonic."""
        self._purge(now_s)
        return dict(self._heard)

    def take(self, message: AnyMessage, now_s: float) -> bool:
        """Note `message`; whether it says anything new."""
        match message:
            case Hello():
                self._begin(message, now_s)
            case Heartbeat():
                self._go_live()
            case Missed(call=str() as call) if call in self._whole:
                return False  # the server has forgotten it, and there was nothing more to hear
            case Missed(call=str() as call, count=0):
                self._drop(call)
            case CallMessage():
                return self._note(message, now_s)
        return True

    def _begin(self, hello: Hello, now_s: float) -> None:
        if hello.epoch != self.epoch:
            self.forget()
            self.epoch, self._greeting = hello.epoch or None, dict(hello.after)
            return
        self._greeting = {}
        for call in self._heard.keys() - hello.after.keys() - self._ended.keys():
            self._ended[call] = now_s

    def _note(self, message: CallMessage, now_s: float) -> bool:
        call, seq = message.call, message.seq
        if self._greeting:
            if seq <= self._greeting.get(call, 0):
                self._greeted.add((call, seq))
                return True
            self._go_live()
        if seq <= self._heard.get(call, 0):
            return False
        self._heard[call] = seq
        if isinstance(message, CallEnded):
            self._ended.setdefault(call, now_s)
            self._whole.add(call)
            self._purge(now_s)
        if (call, seq) in self._greeted:
            self._greeted.discard((call, seq))
            return False
        return True

    def _go_live(self) -> None:
        if self._greeting:
            self._heard = self._greeting | self._heard
            self._greeting = {}
            self._greeted.clear()

    def _purge(self, now_s: float) -> None:
        while self._ended and now_s - next(iter(self._ended.values())) > ENDED_NAMED_S:
            self._drop(next(iter(self._ended)))

    def _drop(self, call: str) -> None:
        self._heard.pop(call, None)
        self._ended.pop(call, None)
        self._whole.discard(call)
