"""Prints what callmood hears in the customer's voice: each change of mood or label, each alert.

    python examples/agent_desktop.py [ADDRESS] [--agent ID | --call NAME] [--token-file FILE]

ADDRESS is that of the server, http://127.0.0.1:8765 unless given; a token may also stand in CALLMOOD_TOKEN. The client comes
back by itself after a cut or a restart, and reads the file anew when the token is about to expire.
Copy it as the start of your own desktop.
"""

import argparse
import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

from monitor.address import Address
from monitor.client import Client, Event, Lost
from monitor.errors import CallmoodError
from monitor.messages import AlertCleared, AlertRaised, CallEnded, Error, Hello, Missed, Reading


class Desktop:
    """Says what is new, a line each."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._said: dict[str, str] = {}

    def tell(self, event: Event) -> None:
        match event:
            case Hello():
                say(f"connected to {self._address}")
            case Lost(reason, retry_s):
                say(f"{reason}; next try in {retry_s:.0f} s")
            case Reading(mood=str(), party="customer" | "mixed"):
                self._tell(event.call, f"{event.mood:12} {event.label or event.state}")
            case AlertRaised() | AlertCleared():
                raised = "RAISED" if isinstance(event, AlertRaised) else "CLEARED"
                self._tell(event.call, f"ALERT_{raised} {event.rule}")
            case CallEnded():
                self._tell(event.call, f"ended, {event.outcome}")
                del self._said[event.call]
            case Missed():
                say(f"{event.call or 'callmood':20} {event.count or 'some'} messages missed: {event.reason}")
            case Error():
                say(f"{'callmood':20} {event.text}")

    def _tell(self, call: str, text: str) -> None:
        if self._said.get(call) != text:
            self._said[call] = text
            say(f"{call:20} {text}")


def say(line: str) -> None:  # names come from outside: no escape sequence of theirs may reach the terminal
    print("".join(letter if letter.isprintable() else "?" for letter in line), flush=True)


async def follow(address: Address, token: str | Path | None) -> None:
    desktop = Desktop(address.url)
    async with Client(address, token) as events:
        async for event in events:
            desktop.tell(event)


def main() -> None:
    parser = argparse.ArgumentParser(description="What callmood hears in the customer's voice.")
    parser.add_argument("address", nargs="?", default="http://127.0.0.1:8765")
    parser.add_argument("--agent", metavar="ID", help="whatever call this agent is on")
    parser.add_argument("--call", metavar="NAME", help="this call only")
    parser.add_argument("--token-file", metavar="FILE", type=Path)
    given = parser.parse_args()
    address = Address.parse(given.address, call=given.call, agent=given.agent)
    asyncio.run(follow(address, given.token_file or os.environ.get("CALLMOOD_TOKEN") or None))


if __name__ == "__main__":
    try:
        with suppress(KeyboardInterrupt):
            main()
    except CallmoodError as error:
        sys.exit(str(error))
