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
        self._resumed: Hello | None = None
        """Of one that came back, until it has been told what it missed; from then on its `begun` counts."""

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
            self._greeting, self._resumed = {}, hello

    def _note(self, message: CallMessage, now_s: float) -> bool:
        call, seq = message.call, message.seq
        self._go_live_beyond(call, seq)
        if self._greeting:
            self._greeted.add((call, seq))
            return True
        if seq <= self._heard.get(call, 0):
            return False
        self._heard[call] = seq
        if isinstance(message, CallStarted) and self._resumed is None:
            self.begun += 1
        if isinstance(message, CallEnded):
            self._ended[call] = now_s
            self._purge(now_s)
        if (call, seq) in self._greeted:
            self._greeted.discard((call, seq))
            return False
        return True

    def _go_live_beyond(self, call: str, seq: int) -> None:
        """Message `seq` of `call` has come: what comes before everything live is over where it goes beyond that.

        A newcomer is greeted with running calls only. One that came back also hears of ended ones, and a `heartbeat` tells it
        when that is all; but a server of contract 1.2 sends none as long as something happens.
        """
        if self._greeting:
            live = seq > self._greeting.get(call, 0)
        else:
            live = self._resumed is not None and seq > self._resumed.after.get(call, seq)
        if live:
            self._go_live()

    def _go_live(self) -> None:
        """The greeting has come to its end."""
        if self._resumed is not None:
            self.begun, self._resumed = self._resumed.begun, None
        self._heard = self._greeting | self._heard
        self._greeting = {}
        self._greeted.clear()

    def _purge(self, now_s: float) -> None:
        if self._resumed is not None:
            return  # until `begun` counts them, their names tell that they were heard
        while self._ended and now_s - next(iter(self._ended.values())) > ENDED_NAMED_S:
            self._drop(next(iter(self._ended)))

    def _drop(self, call: str) -> None:
        self._heard.pop(call, None)
        self._ended.pop(call, None)
