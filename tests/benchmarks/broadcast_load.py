"""How long a message takes to its subscribers, and what that costs.

    python tests/benchmarks/broadcast_load.py [subscribers=50] [calls=40] [messages a second and call=4] [seconds=10]

The subscribers are a process of their own, so that the processor time is the server alone. Prints one JSON object.
"""

import asyncio
import json
import resource
import statistics
import sys
import time
from contextlib import suppress

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from monitor.broadcast import Broadcaster
from monitor.messages import CallStarted, Hello, PartyInfo, Reading, rfc3339
from monitor.settings import Settings


async def serve(subscribers: int, calls: int, per_second: int, seconds: int) -> None:
    broadcaster = Broadcaster(
        Settings(port=0), lambda: Hello(at=at(), node="load", model="none", window_s=3, hop_s=0.5)
    )
    await broadcaster.start()
    for call in range(calls):
        party = PartyInfo(channel=0, scored=True)
        broadcaster.publish(
            CallStarted(at=at(), call=f"call {call}", seq=1, source="load", path=None, parties={"customer": party})
        )
    clients = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "listen", broadcaster.address, str(subscribers), stdout=asyncio.subprocess.PIPE
    )
    while broadcaster.counters.sent < subscribers * (calls + 1):
        await asyncio.sleep(0.05)
    before_cpu_s, before_s, before_sent = cpu_s(), time.monotonic(), broadcaster.counters.sent
    for step in range(per_second * seconds):
        for call in range(calls):
            broadcaster.publish(reading(f"call {call}", step + 2))
            await until(before_s + (step + (call + 1) / calls) / per_second)
    wall_s, used_s = time.monotonic() - before_s, cpu_s() - before_cpu_s
    await broadcaster.stop()
    assert clients.stdout is not None
    result = json.loads(await clients.stdout.read())
    result |= {"lost": subscribers * calls * per_second * seconds - result["received"]}
    result |= {"sent_per_s": round((broadcaster.counters.sent - before_sent) / wall_s), "cpu_cores": used_s / wall_s}
    result |= {
        "dropped": broadcaster.counters.dropped,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps({name: round(value, 2) for name, value in result.items()}))


async def listen(address: str, subscribers: int) -> None:
    delays_ms: list[float] = []
    await asyncio.gather(*(follow(address, delays_ms) for _ in range(subscribers)))
    spread = statistics.quantiles(delays_ms, n=1000)
    print(
        json.dumps({"received": len(delays_ms), "p50_ms": spread[499], "p99_ms": spread[989], "max_ms": max(delays_ms)})
    )


async def follow(address: str, delays_ms: list[float]) -> None:
    async with connect(address, proxy=None, compression=None) as messages:
        with suppress(ConnectionClosed):  # the end of the run waits for no reader: see `lost`
            async for line in messages:
                message = json.loads(line)
                if message["type"] == "reading":
                    delays_ms.append((time.monotonic() - message["start_s"]) * 1000)


def reading(call: str, seq: int) -> Reading:
    """A reading of the usual size whose `start_s` is when it was published: both processes share that clock."""
    scores = dict.fromkeys(("anger", "disgust", "fear", "happy", "neutral", "sad"), 0.166667)
    return Reading(
        at=at(),
        call=call,
        seq=seq,
        party="customer",
        start_s=time.monotonic(),
        end_s=3.0,
        state="speech",
        label="neutral",
        mood="calm",
        confidence=0.812345,
        scores=scores,  # type: ignore[arg-type]
        speech_share=0.87,
        level_db=-31.25,
        latency_ms=12.5,
    )


async def until(moment_s: float) -> None:
    await asyncio.sleep(max(0.0, moment_s - time.monotonic()))


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def at() -> str:
    return rfc3339(time.time())


if __name__ == "__main__":
    if sys.argv[1:2] == ["listen"]:
        asyncio.run(listen(sys.argv[2], int(sys.argv[3])))
    else:
        given = [int(word) for word in sys.argv[1:]]
        asyncio.run(serve(*(given + [50, 40, 4, 10][len(given) :])))
