"""What a node tells Prometheus. No call, name or number is ever a label: those would be identities, and without bound."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.messages import AlertCleared, AlertRaised, AnyMessage, CallEnded, CallStarted, Error, Gap, Reading
from monitor.snapshot import Health
from monitor.subscriber import Counters

if TYPE_CHECKING:
    from monitor.webhooks.service import Webhooks

LATENCY_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Gauges:
    """Where the present figures of a node come from."""

    health: Callable[[], Health]
    parties: Callable[[], int]
    """Scored parties of running calls."""
    counters: Counters
    waiting: Callable[[], int]
    """Messages that wait for slow subscribers."""
    unpublished: Callable[[], int]
    """Readings that the websocket's thread could not take."""
    audit_lost: Callable[[], int]
    webhooks: Callable[[], "Webhooks | None"]
    """None while alerts are posted nowhere."""


class Metrics:
    """A receiver of the bus that counts, and the text that Prometheus reads. `text` may run in another thread."""

    def __init__(self, gauges: Gauges, model: str, version: str) -> None:
        self._registry = CollectorRegistry()
        self._running: set[str] = set()
        self._open: dict[str, str] = {}
        self._started = Counter("callmood_calls_started", "Calls that began", registry=self._registry)
        self._unscored = Counter(
            "callmood_calls_unscored", "Calls that began without a scored party", registry=self._registry
        )
        self._ended = Counter(
            "callmood_calls_ended", "Calls that ended, by outcome", ["outcome"], registry=self._registry
        )
        self._readings = Counter("callmood_readings", "Readings, by state", ["state"], registry=self._registry)
        self._raised = Counter(
            "callmood_alerts_raised", "Alerts, by rule and severity", ["rule", "severity"], registry=self._registry
        )
        self._lost = Counter(
            "callmood_audio_lost_seconds", "Audio of parties that never came, told as gaps", registry=self._registry
        )
        self._errors = Counter("callmood_errors", "Errors, by code", ["code"], registry=self._registry)
        self._latency = Histogram(
            "callmood_reading_latency_seconds",
            "From a window's last sample to its reading, where it was scored",
            buckets=LATENCY_S,
            registry=self._registry,
        )
        self._registry.register(_Present(gauges, self._running, self._open, model, version))

    def receive(self, message: AnyMessage) -> None:
        """Count `message`."""
        match message:
            case Reading():
                self._readings.labels(message.state).inc()
                if message.scores is not None:
                    self._latency.observe(message.latency_ms / 1000)
            case CallStarted():
                self._running.add(message.call)
                self._started.inc()
                self._unscored.inc(not any(party.scored for party in message.parties.values()))
            case CallEnded():
                self._running.discard(message.call)
                for alert in [alert for alert, call in self._open.items() if call == message.call]:
                    del self._open[alert]
                self._ended.labels(message.outcome).inc()
            case AlertRaised():
                self._open[message.alert] = message.call
                self._raised.labels(message.rule, message.severity).inc()
            case AlertCleared():
                self._open.pop(message.alert, None)
            case Gap():
                self._lost.inc(message.end_s - message.start_s)
            case Error():
                self._errors.labels(message.code).inc()

    def text(self) -> bytes:
        """All of it, in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)


class _Present(Collector):
    """What stands in other objects, read when Prometheus asks."""

    def __init__(
        self, gauges: Gauges, running: set[str], open_alerts: dict[str, str], model: str, version: str
    ) -> None:
        self._gauges, self._running, self._open = gauges, running, open_alerts
        self._model, self._version = model, version

    def collect(self) -> Iterator[Metric]:
        gauges, health, counters = self._gauges, self._gauges.health(), self._gauges.counters
        yield GaugeMetricFamily("callmood_calls", "Calls that run", len(self._running))
        yield GaugeMetricFamily("callmood_parties_scored", "Their scored parties", gauges.parties())
        yield GaugeMetricFamily("callmood_alerts_open", "Alerts that are open", len(self._open))
        yield GaugeMetricFamily("callmood_audio_waiting_seconds", "Audio that waits to be scored", health.waiting_s)
        yield CounterMetricFamily(
            "callmood_audio_dropped_seconds", "Audio that was dropped because scoring fell behind", health.dropped_s
        )
        if health.restarts is not None:
            yield CounterMetricFamily(
                "callmood_listener_restarts", "Listeners' processes that died and were started again", health.restarts
            )
        if health.scoring_restarts is not None:
            yield CounterMetricFamily(
                "callmood_scoring_restarts",
                "Processes that score calls, died and were started again",
                health.scoring_restarts,
            )
        yield GaugeMetricFamily("callmood_subscribers", "Open subscriptions", health.subscribers)
        yield CounterMetricFamily("callmood_subscriptions", "Subscriptions so far", counters.accepted)
        yield CounterMetricFamily("callmood_messages_sent", "Messages to subscribers", counters.sent)
        yield GaugeMetricFamily(
            "callmood_messages_waiting", "Messages that wait for slow subscribers", gauges.waiting()
        )
        dropped = CounterMetricFamily("callmood_messages_dropped", "Messages that did not arrive", labels=["reason"])
        dropped.add_metric(["slow_subscriber"], counters.dropped)
        dropped.add_metric(["service_behind"], gauges.unpublished())
        yield dropped
        yield CounterMetricFamily("callmood_subscribers_too_slow", "Subscribers closed: slow", counters.too_slow)
        refused = CounterMetricFamily("callmood_refused", "Requests and messages refused, by reason", labels=["reason"])
        for reason, count in tuple(counters.refused.items()):
            refused.add_metric([reason], count)
        yield refused
        yield CounterMetricFamily(
            "callmood_authentication_failures", "Without a valid token", counters.refused["token"]
        )
        yield CounterMetricFamily("callmood_audit_lost", "Notes that the audit log lost", gauges.audit_lost())
        if health.unstored is not None:
            yield CounterMetricFamily(
                "callmood_history_unstored", "Messages that the history lacks for good", health.unstored
            )
            yield GaugeMetricFamily(
                "callmood_history_failing", "1 while calls cannot be stored in the history", bool(health.history)
            )
        if (webhooks := gauges.webhooks()) is not None:
            yield from _webhooks(webhooks)
        yield InfoMetricFamily("callmood_model", "The model", {"model": self._model, "callmood": self._version})


def _webhooks(webhooks: "Webhooks") -> Iterator[Metric]:
    """By endpoint: its number in the settings, since an address may be a secret."""
    waiting = GaugeMetricFamily("callmood_webhooks_waiting", "Deliveries that wait", labels=["endpoint"])
    posted = CounterMetricFamily("callmood_webhooks_posted", "Deliveries that arrived", labels=["endpoint"])
    failed = CounterMetricFamily("callmood_webhooks_failed_tries", "Tries without success", labels=["endpoint"])
    given_up = CounterMetricFamily("callmood_webhooks_given_up", "Deliveries that were given up", labels=["endpoint"])
    for counts in webhooks.counts():
        label = [str(counts.number)]
        waiting.add_metric(label, counts.waiting)
        posted.add_metric(label, counts.posted)
        failed.add_metric(label, counts.failed)
        given_up.add_metric(label, counts.given_up)
    yield from (waiting, posted, failed, given_up)
    yield CounterMetricFamily("callmood_webhooks_lost", "Webhooks that could not be stored", webhooks.lost)
