"""Blocks of one live party on their way into the queue. Pure but for that."""

from collections import deque

from monitor.audio import Block
from monitor.sources import BlockQueue

_BLOCKS_A_POLL = 4
"""A pause is told in the end as silence: not all of it at once, or it would push other calls' audio out of the queue."""


class Outbox:
    """Blocks on their way into the queue: a pause that has ended is silence all at once, and must not push others out."""

    def __init__(self, queue: BlockQueue) -> None:
        self._queue = queue
        self._blocks: deque[Block] = deque()
        self._may_send = _BLOCKS_A_POLL

    @property
    def waits(self) -> bool:
        """Whether something is left for later."""
        return bool(self._blocks)

    def put(self, block: Block) -> None:
        """Puts it now, or when it is its turn."""
        self._blocks.append(block)
        self._send()

    def refresh(self) -> None:
        """Some more may go."""
        self._may_send = _BLOCKS_A_POLL
        self._send()

    def empty(self) -> None:
        """Puts all."""
        self._may_send = len(self._blocks)
        self._send()

    def _send(self) -> None:
        while self._blocks and self._may_send:
            self._may_send -= 1
            self._queue.put(self._blocks.popleft())
