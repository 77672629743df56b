"""A platform on this machine: plays two recordings to an address as Twilio would.

python -m tests.peers.send_stream ws://127.0.0.1:8766/twilio CUSTOMER.wav AGENT.wav [--token TOKEN]
"""

import argparse
import asyncio

import soundfile

from monitor.audio import float_to_mulaw
from tests.peers.media_streams import MediaStream, call


def sound(path: str) -> bytes:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if rate != 8_000:
        raise SystemExit(f"{path}: {rate} Hz, expected 8000: sox {path} -r 8000 -c 1 other.wav")
    return float_to_mulaw(samples[:, 0].copy()).tobytes()


async def play(url: str, customer: bytes, agent: bytes, headers: dict[str, str]) -> None:
    sending = await call(url, MediaStream(parameters={"agent": "4711"}), headers)
    await sending.play({"inbound": customer, "outbound": agent})
    await sending.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("customer")
    parser.add_argument("agent")
    parser.add_argument("--token")
    given = parser.parse_args()
    headers = {"Authorization": f"Bearer {given.token}"} if given.token else {}
    asyncio.run(play(given.url, sound(given.customer), sound(given.agent), headers))


if __name__ == "__main__":
    main()
