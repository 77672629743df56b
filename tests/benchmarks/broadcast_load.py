"""How long a message takes from the bus to its subscribers, and what that costs.

    python -m tests.benchmarks.broadcast_load [--desktops 1000] [--supervisors 20] [--calls 500] [--per-second 2]
                                              [--seconds 20] [--stuck 0]

Each desktop hears one call, each supervisor all of them; `--stuck` subscribers of all calls never read. The subscribers are a
process of their own, so that the processor time is the server alone. Prints one JSON object; times in milliseconds.
"""

import argparse
import asyncio
import gc
import json
import resource
import socket
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from monitor.broadcast import Broadcaster
from monitor.bus import Bus
from monitor.handshake import Ties
from monitor.messages import CallStarted, Hello, PartyInfo, Reading, rfc3339
from monitor.service_thread import ServiceThread
from monitor.settings import Settings


class Heard(msgspec.Struct):
    """What of a message is looked at."""

    type: str
    start_s: float = 0.0


def serve(options: argparse.Namespace) -> None:
    subscribers = options.desktops + options.supervisors
    settings = Settings(port=0, max_connections=subscribers + options.stuck + 10)
    hello = Hello(at=at(), node="load", model="none", window_s=3, hop_s=0.5)
    broadcaster, bus = Broadcaster(settings, Ties(lambda: hello)), Bus()
    service = ServiceThread(broadcaster)
    service.start()
    bus.subscribe(service.publish, service.wake)
    parties = {"customer": PartyInfo(channel=0, scored=True)}
    for call in range(options.calls):
        bus.publish(CallStarted(at=at(), call=f"call-{call}", seq=1, source="load", path=None, parties=parties))  # type: ignore[arg-type]
    clients = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.broadcast_load", *sys.argv[1:], "--listen", broadcaster.address],
        stdout=subprocess.PIPE,
    )
    greeted = options.desktops * 2 + (options.supervisors + options.stuck) * (options.calls + 1)
    while broadcaster.subscribers < subscribers + options.stuck or broadcaster.counters.sent < greeted:
        time.sleep(0.05)
    time.sleep(1.0)
    before_rss_mb, before_cpu_s, before_s, before_sent = rss_mb(), cpu_s(), time.monotonic(), broadcaster.counters.sent
    most_waiting, late_s = 0, 0.0
    for step in range(options.per_second * options.seconds):
        for call in range(options.calls):
            bus.publish(reading(f"call-{call}", step + 2))
            due_s = before_s + (step + (call + 1) / options.calls) / options.per_second
            late_s = max(late_s, time.monotonic() - due_s)
            time.sleep(max(0.0, due_s - time.monotonic()))
        most_waiting = max(most_waiting, broadcaster.waiting)
    wall_s, used_s = time.monotonic() - before_s, cpu_s() - before_cpu_s
    sent = broadcaster.counters.sent - before_sent
    time.sleep(0.5)
    after_rss_mb = rss_mb()
    service.stop()
    assert clients.stdout is not None
    heard = json.loads(clients.stdout.read())
    each = options.per_second * options.seconds
    expected = options.desktops * each + options.supervisors * options.calls * each
    result = {
        "subscribers": subscribers,
        "stuck": options.stuck,
        **heard,
        "lost": expected - heard["received"],
        "dropped": broadcaster.counters.dropped,
        "most_waiting": most_waiting,
        "publisher_late_ms": 1000 * late_s,
        "sent_per_s": sent / wall_s,
        "server_cores": used_s / wall_s,
        "rss_mb": after_rss_mb,
        "rss_grew_mb": after_rss_mb - before_rss_mb,
    }
    print(json.dumps({name: round(value, 2) if isinstance(value, float) else value for name, value in result.items()}))


async def listen(options: argparse.Namespace) -> None:
    gc.disable()  # this process stands for a thousand: its own pauses are no desktop's
    delays_ms: list[float] = []
    one = [f"{options.listen}/call-{number % options.calls}" for number in range(options.desktops)]
    tasks = []
    for number, address in enumerate([*one, *[options.listen] * options.supervisors]):
        tasks.append(asyncio.create_task(follow(address, delays_ms)))
        if number % 50 == 0:
            await asyncio.sleep(0.05)
    stuck = [await hang(options.listen) for _ in range(options.stuck)]
    await asyncio.gather(*tasks)
    del stuck
    spread = statistics.quantiles(delays_ms, n=1000)
    print(
        json.dumps({"received": len(delays_ms), "p50_ms": spread[499], "p99_ms": spread[989], "max_ms": max(delays_ms)})
    )


async def follow(address: str, delays_ms: list[float]) -> None:
    decode = msgspec.json.Decoder(Heard).decode
    async with connect(address, proxy=None, compression=None, ping_interval=None, max_queue=None) as messages:
        with suppress(ConnectionClosed):  # the end of the run waits for no reader: see `lost`
            while True:
                heard = decode(await messages.recv(decode=False))
                if heard.type == "reading":
                    delays_ms.append((time.monotonic() - heard.start_s) * 1000)


async def hang(address: str) -> Any:
    """A subscriber that never reads, nor lets the operating system read much for it."""
    host, _, port = address.removeprefix("ws://").partition("/")[0].rpartition(":")
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    end.connect((host, int(port)))
    return await connect(address, proxy=None, sock=end, max_queue=1, ping_interval=None)


def reading(call: str, seq: int) -> Reading:
    """A reading of the usual size whose `start_s` is when it was published: both processes share that clock."""
    scores = dict.fromkeys(("anger", "disgust", "fear", "happy", "neutral", "sad"), 0.1667)
    return Reading(
        at=at(),
        call=call,
        seq=seq,
        party="customer",
        start_s=time.monotonic(),
        end_s=seq / 2,
        state="speech",
        label="neutral",
        mood="calm",
        confidence=0.8123,
        scores=scores,  # type: ignore[arg-type]
        speech_share=0.87,
        level_db=-31.2,
        latency_ms=12.5,
    )


def rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def at() -> str:
    return rfc3339(time.time())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (
        ("desktops", 1000),
        ("supervisors", 20),
        ("calls", 500),
        ("per-second", 2),
        ("seconds", 20),
        ("stuck", 0),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--listen", help=argparse.SUPPRESS)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 65_536)), hard))
    if options.listen:
        asyncio.run(listen(options))
    else:
        serve(options)


if __name__ == "__main__":
    main()
