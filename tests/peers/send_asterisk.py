"""An Asterisk on this machine: plays two recordings, a connection a party, by AudioSocket or by chan_websocket.

python -m tests.peers.send_asterisk 127.0.0.1:9092 CUSTOMER.wav AGENT.wav
python -m tests.peers.send_asterisk ws://127.0.0.1:8766/asterisk CUSTOMER.wav AGENT.wav [--password PASSWORD]
"""

import argparse
import asyncio
import base64
import uuid

import numpy as np
import soundfile

from tests.peers.asterisk_switch import MediaChannel, audiosocket, media


def sound(path: str) -> bytes:
    """16 bit PCM."""
    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    if rate != 8_000:
        raise SystemExit(f"{path}: {rate} Hz, expected 8000: sox {path} -r 8000 -c 1 other.wav")
    return np.ascontiguousarray(samples[:, 0]).tobytes()


async def by_audiosocket(port: int, customer: bytes, agent: bytes) -> None:
    """UUIDs as the setting pairing = "last_digit" wants them."""
    call = str(uuid.uuid4())[:-1]
    channels = [await audiosocket(port, call + digit) for digit in "01"]
    await asyncio.gather(*(one.play(pcm) for one, pcm in zip(channels, (customer, agent), strict=True)))
    for one in channels:
        one.close()


async def by_websocket(url: str, customer: bytes, agent: bytes, password: str) -> None:
    credentials = base64.b64encode(f"callmood:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}"} if password else {}
    query = f"?call={str(uuid.uuid4())[:8]}&agent=4711&party="
    parties = [
        await media(url + query + name, MediaChannel("slin", 20, 320), headers) for name in ("customer", "agent")
    ]
    await asyncio.gather(*(one.play(pcm) for one, pcm in zip(parties, (customer, agent), strict=True)))
    for one in parties:
        await one.hang_up()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where")
    parser.add_argument("customer")
    parser.add_argument("agent")
    parser.add_argument("--password", default="")
    given = parser.parse_args()
    sounds = sound(given.customer), sound(given.agent)
    if given.where.startswith("ws"):
        asyncio.run(by_websocket(given.where, *sounds, given.password))
    else:
        asyncio.run(by_audiosocket(int(given.where.rpartition(":")[2]), *sounds))


if __name__ == "__main__":
    main()
