"""Listens to the microphone in a process of its own: `listen.py OUT.npz`, until a line comes on stdin or the call ends.

Prints `listening` at the first block, and at the end the reason why the call ended.
"""

import sys
import threading

import numpy as np

from monitor.audio import Block
from monitor.sources import BlockQueue, CallClosed, CallNames, Event
from monitor.sources.microphone import Microphone


class _Announcing(BlockQueue):
    """Says on stdout when audio begins to come."""

    def put(self, event: Event, wait: bool = False, stop: threading.Event | None = None) -> None:
        super().put(event, wait, stop)
        if isinstance(event, Block) and event.start == 0:
            print("listening", flush=True)


def main(path: str) -> None:
    queue, stop = _Announcing(limit_s=600), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
    Microphone(None, None, CallNames()).run(queue, stop)
    events = queue.take(0)
    blocks = [event for event in events if isinstance(event, Block)]
    np.savez(
        path,
        samples=np.concatenate([block.samples for block in blocks]),
        starts=[block.start for block in blocks],
        lengths=[block.samples.size for block in blocks],
        sample_rate=blocks[0].sample_rate,
    )
    print(next(event.reason for event in events if isinstance(event, CallClosed)))


if __name__ == "__main__":
    main(sys.argv[1])
