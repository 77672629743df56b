"""Prints what callmood hears in the customer's voice: each change of mood or label, each alert.

    python examples/agent_desktop.py [ws://127.0.0.1:8765/v1/calls]

Needs the websockets package only: copy it as the start of your own desktop.
"""

import json
import sys
import time
from contextlib import suppress

from websockets.exceptions import InvalidURI, WebSocketException
from websockets.sync.client import connect

said = {}


def tell(message):
    call, kind = message.get("call", "callmood"), message["type"]
    match kind:
        case "reading" if message["mood"] and message["party"] != "agent":
            text = f"{message['mood']:12} {message['label'] or message['state']}"
        case "alert_raised" | "alert_cleared":
            text = f"{kind.upper()} {message['rule']}"
        case "call_ended":
            text = f"ended, {message['outcome']}"
        case "missed":
            text = f"{message['count']} messages missed: {message['reason']}"
        case "error":
            text = message["text"]
        case _:
            return
    if said.get(call) != text:
        said[call] = text
        say(f"{call:20} {text}")


def say(line):  # names come from outside: no escape sequence of theirs may reach the terminal
    print("".join(letter if letter.isprintable() else "?" for letter in line), flush=True)


def follow(address):
    wait_s = 1
    while True:
        try:
            with connect(address, proxy=None) as messages:
                say(f"connected to {address}")
                wait_s = 1
                for message in messages:
                    tell(json.loads(message))
            reason = "the server closed the connection"
        except InvalidURI as error:
            sys.exit(str(error))
        except (OSError, WebSocketException) as error:
            reason = error
        say(f"{reason}; next try in {wait_s} s")
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, 30)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        follow(sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8765/v1/calls")
