"""Read a recording from Python: every message in turn, no server, no terminal.

python examples/replay_call.py examples/calls/growing_anger.flac
"""

import sys

from monitor.app import Node
from monitor.messages import AlertRaised, CallEnded, Reading
from monitor.model import EmotionModel, default_path
from monitor.settings import Settings
from monitor.sources import CallNames
from monitor.sources.recording import Recordings


def tell(message: object) -> None:
    """What a program of yours would do with a message."""
    if isinstance(message, Reading) and message.label:
        print(f"{message.end_s:6.1f} s  {message.party}  {message.label}  {message.confidence:.0%}")
    elif isinstance(message, AlertRaised):
        print(f"{message.at_s:6.1f} s  {message.party}  ALERT {message.rule} since {message.start_s:.1f} s")
    elif isinstance(message, CallEnded):
        print(f"{message.call}: {message.outcome} after {message.duration_s:.0f} s")


if __name__ == "__main__":
    settings = Settings()
    recordings = Recordings(sys.argv[1:], CallNames(), pace="fast", max_calls=settings.max_calls)
    with Node(settings, EmotionModel(default_path()), [recordings], [tell]) as node:
        node.finished.wait()
