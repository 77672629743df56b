"""Endurance: calls come and go for an hour at half load while things go wrong, and everything must be accounted for.

    python -m tests.benchmarks.soak [--minutes 60] [--calls 100] [--brief] [--seed 1] [--faults N,N…|none]
                                   [--set scoring_processes=2]

`--calls` are two-party calls at once on average, by SIPREC, at real pace: Poisson arrivals, 30 s to 20 min each, with `--brief` 4
s to 1 min. Every fault of `soak_faults` comes once until the warm-up is over, first and only once those that end calls, then the
others in an order that the seed draws, again and again; `--faults` names those that do. Prints a line a minute on stderr and one
JSON object at the end. Exit status 1 where anything is in its `problems`: a call was lost or ended for another reason than its
own, a message is neither delivered nor counted, memory grew by more than 2 % from the warm-up (minute 10) to the end of a run of
20 minutes or more, or a file stayed open.

Linux; a full disk needs the right to mount a tmpfs. Everything stays on the loopback addresses of this machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from monitor.history.archive import Archive
from tests.benchmarks.rtp_media import Media
from tests.benchmarks.soak_accounts import (
    ENDED_WITHIN_S,
    Sample,
    account_problems,
    calls_problems,
    course,
    growths,
    joined,
    memory_problems,
    month,
    moved,
    produced,
    reading_counts,
    reasons,
    scoring_s,
)
from tests.benchmarks.soak_calls import BRIEF, HOST, LONG, Caller
from tests.benchmarks.soak_faults import NAMES, Faults, Killed
from tests.benchmarks.soak_node import Disk, Node, rounded, webhook_secret

_SETTLE_S = 6.0
"""Before the first call, and after the last: what is open then must be the same."""
MOST_LATE_MS = 500.0
"""Of the sender, beyond which the readings say nothing about the node."""
_DISK_MB, _DISK_MB_A_CALL_MINUTE = 64.0, 0.03
"""Of the disk that is filled: twice and more of what the history takes."""
_END_S = 45.0
"""Until all calls are over, at the latest."""


class Subscribers:
    """Their process. `ask` may be called from two threads."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.soak_subscribers"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()
        self.receiver: str = json.loads(self._line())

    def ask(self, *command: Any) -> Any:
        with self._lock:
            assert self._process.stdin is not None
            print(json.dumps(command), file=self._process.stdin, flush=True)
            return json.loads(self._line())

    def tell(self, *command: Any) -> None:
        """Without waiting for what comes back."""
        threading.Thread(target=self.ask, args=command, daemon=True).start()

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline() or "null"


class Watch:
    """Looks at the node now and then, in a thread of its own, and tells once a minute."""

    def __init__(self, node: Node, subscribers: Subscribers, caller: Caller, faults: Faults, every_s: float) -> None:
        self._node, self._subscribers, self._caller, self._faults = node, subscribers, caller, faults
        self._every_s, self._began_s, self._told_s = every_s, time.monotonic(), time.monotonic()
        self.samples = [self.sample()]
        self._over = threading.Event()
        self.whole = True
        """Whether it looked until it was stopped."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def sample(self) -> Sample:
        self._node.log.look()
        at_min = (time.monotonic() - self._began_s) / 60
        return Sample(at_min, self._node.costs(), self._node.bytes(), len(self._caller.up))

    def stop(self) -> None:
        self.whole = self._thread.is_alive()
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            self.samples.append(self.sample())
            if time.monotonic() - self._told_s >= 60:
                self._told_s = time.monotonic()
                self._tell(self.samples[-1])

    def _tell(self, sample: Sample) -> None:
        costs = "; ".join(
            f"{role} {one.rss_mb:.1f} MB, {one.files} files, {one.cpu_s:.0f} s" for role, one in sample.costs.items()
        )
        status = self._subscribers.ask("status")
        dropped = status["metrics"].get("callmood_audio_dropped_seconds_total", 0)
        counts = (
            f"{sample.calls} calls, {self._caller.begun} begun, {status['messages']} messages, {dropped:g} s dropped"
        )
        last = self._faults.done[-1] if self._faults.done else "none"
        print(f"{sample.at_min:5.1f} min: {counts}; {costs}; last fault: {last}", file=sys.stderr, flush=True)


def run(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The soak, and what came of it."""
    secret = webhook_secret(folder)
    with ExitStack() as atexit:
        disk = Disk(folder / "disk", round(_DISK_MB + _DISK_MB_A_CALL_MINUTE * given.minutes * given.calls))
        atexit.callback(disk.close)
        subscribers = Subscribers()
        atexit.callback(subscribers.close)
        node = Node(folder, disk, 10 * given.calls + 100, subscribers.receiver, secret, given.set or [])
        atexit.callback(node.close)
        subscribers.ask("follow", node.address, given.calls)
        return _soak(given, node, subscribers)


def _soak(given: argparse.Namespace, node: Node, subscribers: Subscribers) -> dict[str, Any]:
    media = Media(HOST)
    caller = Caller(node.port, media, given.calls, BRIEF if given.brief else LONG, given.seed)
    names = NAMES if given.faults is None else [name for name in given.faults.split(",") if name != "none"]
    between_s = (
        min(10.0, given.minutes / 2) * 60 / (len(names) + 1)
    )  # the first round is over at the end of the warm-up
    time.sleep(_SETTLE_S)
    faults = Faults(node, caller, media, subscribers.tell, given.seed, between_s, names)
    before = node.costs()
    watch = Watch(node, subscribers, caller, faults, 2.0 if given.minutes < 20 else 10.0)

    def turn() -> None:
        caller.turn()
        faults.turn()

    rest_s = given.minutes * 60 / 6
    media.play(given.minutes * 60 - rest_s, turn)
    faults.mend()
    media.play(rest_s, caller.turn)
    watch.stop()
    caller.end_all()
    until_s = time.monotonic() + _END_S
    while caller.calls and time.monotonic() < until_s:
        media.play(0.5, caller.turn)
    time.sleep(_SETTLE_S + 8.0)  # those whose source has died last
    subscribers.ask("catch up")  # the slow one has, of what it lacks, the greetings of several connections before it
    after, metrics = node.costs(), subscribers.ask("status")["metrics"]
    status = node.end()
    heard = subscribers.ask("stop")
    media.close()
    watch.samples.append(watch.sample())
    found = _found(given, node, caller, faults, watch.samples, heard, metrics)
    left = {role: after[role].files if role in after else None for role in before}
    found["files"] = {role: {"before": one.files, "after": left[role]} for role, one in before.items()}
    found["exit_status"], found["said_last"] = status, node.log.last
    found["sender_late_ms"] = round(1_000 * media.late_s)
    found["problems"] = list(_problems(found, caller, heard, faults.scorers_killed_s))
    if not watch.whole:
        found["problems"].append(f"memory was watched for {watch.samples[-2].at_min:.1f} min only: see stderr")
    return found


def _found(
    given: argparse.Namespace,
    node: Node,
    caller: Caller,
    faults: Faults,
    samples: list[Sample],
    heard: dict[str, Any],
    metrics: dict[str, float],
) -> dict[str, Any]:
    steady = heard["accounts"]["steady"]
    calls = joined(steady["calls"], faults.scorers_killed_s)
    expected, told, wrong = reading_counts(caller.over, calls)
    warm_min = min(10.0, given.minutes / 2)
    return {
        "minutes": given.minutes,
        "calls": {
            "begun": caller.begun,
            "of_which_again": caller.again,
            "refused": caller.refused,
            "unanswered": caller.unanswered,
            "still_running": len(caller.calls),
            "ended": reasons(steady["calls"]),
        },
        "messages": {"produced": produced(steady["calls"])}
        | {
            name: {
                "delivered": account["messages"],
                "missed": sum(account["missed"].values()),
                "calls_of_which_nobody_knows": len(account["unknown"]),
                "lost_connections": account["lost_connections"],
            }
            for name, account in heard["accounts"].items()
        },
        "readings": {"expected": expected, "told": told, "parties_that_differ": wrong},
        "gap_s": round(
            sum(end_s - start_s for call in steady["calls"].values() for _, start_s, end_s in call["gaps"]), 1
        ),
        "latency_ms": {"p50": steady["latency_p50_ms"], "p99": steady["latency_p99_ms"]},
        "history": _stored(node),
        "webhooks": heard["webhooks"] | {"alerts": sum(call["alerts"] for call in steady["calls"].values())},
        "faults": faults.done,
        "faults_skipped": faults.skipped,
        "kills": [_kill(kill, calls) for kill in faults.kills],
        "scorers_killed": [moved(killed_s, steady["calls"]) for killed_s in faults.scorers_killed_s],
        "memory": growths(samples, warm_min),
        "memory_by_minute": course(samples),
        "cpu_cores_scoring": round(scoring_s(samples) / max(1e-9, given.minutes * 60), 2),
        "a_month": rounded(month(samples, caller.begun, caller.again, warm_min, given.minutes)),
        "log": dict(sorted(node.log.lines.items(), key=lambda one: -one[1])[:40]),
        "errors": steady["errors"],
        "metrics": {
            name: value
            for name, value in metrics.items()
            if name.startswith(("callmood_audio", "callmood_messages", "callmood_history", "callmood_webhooks"))
            or name in ("callmood_calls", "callmood_calls_started_total", "callmood_listener_restarts_total")
        },
    }


def _stored(node: Node) -> dict[str, Any]:
    with closing(Archive(node.history)) as archive:
        calls = archive.calls()
    return {
        "calls": len(calls),
        "not_ended": [call.call for call in calls if call.state != "ended"],
        "messages": sum((call.last_seq or 0) - call.unstored for call in calls),
        "unstored": sum(call.unstored for call in calls),
    }


def _kill(kill: Killed, heard: dict[str, Any]) -> dict[str, Any]:
    ended_s = [heard[name]["ended_s"] - kill.at_s for name in kill.calls if heard.get(name, {}).get("reason")]
    return {
        "calls": len(kill.calls),
        "all_ended_within_s": round(max(ended_s, default=0.0), 2),
        "noticed_s": kill.noticed_s,
        "a_call_was_taken_after_s": None if kill.answered_s is None else round(kill.answered_s, 2),
    }


def _problems(
    found: dict[str, Any], caller: Caller, heard: dict[str, Any], scorers_killed_s: Sequence[float]
) -> Iterator[str]:
    calls, messages = heard["accounts"]["steady"]["calls"], found["messages"]["produced"]
    yield from calls_problems(caller.over, joined(calls, scorers_killed_s))
    yield from found["readings"]["parties_that_differ"]
    for name, account in heard["accounts"].items():
        yield from account_problems(name, account, calls)
    if found["sender_late_ms"] > MOST_LATE_MS:
        late_s = found["sender_late_ms"] / 1_000
        yield f"the sender itself was {late_s:.1f} s late: what it sent late is a gap; take a quieter machine, or fewer calls"
    if found["calls"]["unanswered"]:
        yield f"{found['calls']['unanswered']} calls got no answer"
    for kill in found["kills"]:
        if kill["all_ended_within_s"] > kill["noticed_s"] + ENDED_WITHIN_S:
            yield f"calls of killed listeners ended after {kill['all_ended_within_s']} s"
        if kill["a_call_was_taken_after_s"] is None:
            yield "no call was taken after the listeners were killed"
    for kill in found["scorers_killed"]:
        if kill["all_ended_within_s"] > ENDED_WITHIN_S:
            yield f"calls of a process that scored went on after {kill['all_ended_within_s']} s"
        if kill["went_on"] < kill["calls"]:
            yield f"{kill['calls'] - kill['went_on']} calls of a process that scored did not go on"
    if not all(kill["calls"] for kill in [*found["kills"], *found["scorers_killed"]]):
        yield "a process was killed that had no calls: nothing was seen of what becomes of them"
    history = found["history"]
    if history["not_ended"]:
        yield f"the history knows no end of {history['not_ended']}"
    if history["messages"] + history["unstored"] != messages:
        yield f"the history has {history['messages']} messages and lacks {history['unstored']}, of {messages}"
    if found["webhooks"]["raised"] != found["webhooks"]["alerts"]:
        yield f"{found['webhooks']['raised']} alerts were posted of {found['webhooks']['alerts']} raised"
    yield from memory_problems(found["memory"])
    for role, files in found["files"].items():
        if files["after"] is None:
            yield f"{role} is no more, and nothing took its place"
        elif files["after"] > files["before"]:
            yield f"{role} has {files['after']} files open, {files['before']} before the first call"
    if found["exit_status"]:
        yield f"the node's exit status is {found['exit_status']}; it said last: {found['said_last']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--calls", type=int, default=100, help="at once, on average")
    parser.add_argument("--brief", action="store_true", help="many short calls")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", help=f"some of {', '.join(NAMES)}; or none")
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", help="a setting of the node")
    given = parser.parse_args()
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    with tempfile.TemporaryDirectory(prefix="callmood-soak-") as folder:
        found = run(given, Path(folder))
    print(json.dumps(found, indent=1))
    raise SystemExit(1 if found["problems"] else 0)


if __name__ == "__main__":
    main()
