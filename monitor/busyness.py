"""How busy scoring is, and will soon be: what tells that a node is full before anything is late. No clock."""

from collections import deque

STRETCH_S = 2.0
"""It is measured over so long."""
_UNHEARD_STRETCHES = 3
"""A call costs little until its first window is scored, so what is measured now is the work for those of some time ago."""
_BEFORE = 0.3
"""What a call costs until then, of what it costs later: blocks, voice activity, features."""
_MUCH = 0.5
"""Under this the first calls of all would be made too much of."""


class Busyness:
    """The share of the time in which scoring works: the pipeline's thread or the network's, whichever is busier."""

    def __init__(self, now_s: float) -> None:
        """`now_s` monotonic, as below."""
        self.share = 0.0
        """Of the last stretch, for as many parties as run now; 0..1."""
        self._since_s = now_s
        self._rested_s = self._network_s = 0.0
        """Rested in this stretch; worked before it."""
        self._parties: deque[int] = deque(maxlen=_UNHEARD_STRETCHES)
        """At the end of the last stretches."""

    def note(self, now_s: float, rested_s: float, network_s: float, parties: int) -> None:
        """Since it was called last the pipeline had nothing to do for `rested_s`; the network has worked for `network_s` in all,
        and so many `parties` run now."""
        self._rested_s += rested_s
        passed_s = now_s - self._since_s
        if passed_s < STRETCH_S:
            return
        self._parties.append(parties)
        share = max(1.0 - self._rested_s / passed_s, (network_s - self._network_s) / passed_s)
        heard = min(parties, self._parties[0])
        growth = parties / max(1.0, heard + _BEFORE * (parties - heard))
        self.share = min(1.0, share * growth if share > _MUCH else share)
        self._since_s, self._rested_s, self._network_s = now_s, 0.0, network_s
