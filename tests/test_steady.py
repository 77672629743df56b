import re
from pathlib import Path

import pytest

import monitor
from monitor.bus import Bus
from monitor.messages import AnyMessage, rfc3339
from monitor.model import EmotionModel
from monitor.pipeline import Pipeline
from monitor.settings import Settings
from monitor.steady import steady_clock
from tests.test_pipeline import TWO, events_of, without_times
from tests.test_pipeline import model as model  # a fixture

ON_THE_WALL = {
    "app.py": "`at` of hello and errors",
    "audit.py": "when somebody watched",
    "broadcast.py": "`at`",
    "cli/history.py": "yesterday, as people say it",
    "cli/report.py": "likewise",
    "cli/webhooks.py": "how long ago something was queued",
    "client.py": "`at`",
    "conversation.py": "`at`, and when a token expires",
    "history/writer.py": "when a run began, and what is too old",
    "pipeline.py": "`at`",
    "scorers.py": "`at`",
    "sources/audiohook.py": "until when a call is good",
    "sources/audiohook_signature.py": "how old a signature is",
    "steady.py": "once",
    "subscriber.py": "`at`",
    "tokens.py": "until when a token is good",
    "watch.py": "what the other machine's clock says",
    "workers.py": "`at` of errors",
    "webhooks/post.py": "the signature's time; a date in Retry-After",
    "webhooks/service.py": "when a delivery was queued, and what is too old",
    "dashboard/screen.py": "the clock of the messages",
}


def test_a_steady_clock_does_not_follow_a_step_of_the_one_on_the_wall() -> None:
    wall_s, monotonic_s = [1_000.0], [5.0]
    now = steady_clock(lambda: wall_s[0], lambda: monotonic_s[0])
    assert now() == 1_000.0
    wall_s[0], monotonic_s[0] = -2_600.0, 7.0
    assert now() == 1_002.0


def test_only_what_is_about_dates_looks_at_the_clock_on_the_wall() -> None:
    root = Path(monitor.__file__).parent
    wall = re.compile(r"time\.time\b|time_ns\(|datetime\.now|utcnow|time\.localtime")
    looking = {str(path.relative_to(root)) for path in root.rglob("*.py") if wall.search(path.read_text())}
    assert looking == set(ON_THE_WALL)


@pytest.mark.parametrize("step_s", [3_600.0, -3_600.0, -86_400.0 * 365])
def test_a_clock_that_steps_in_mid_call_changes_nothing_but_at(model: EmotionModel, step_s: float) -> None:
    def told(step_s: float) -> list[AnyMessage]:
        bus, messages, clock_s = Bus(), list[AnyMessage](), 1e9
        bus.subscribe(messages.append)
        pipeline = Pipeline(model, Settings(), bus, wall=lambda: clock_s)
        for number, event in enumerate(events_of("a", TWO, 8_000)):
            clock_s += step_s if number == 20 else 0.0
            pipeline.handle([event])
        return messages

    steady, stepping = told(0.0), told(step_s)
    assert without_times(stepping) == without_times(steady)
    assert {message.at for message in stepping} - {message.at for message in steady} == {rfc3339(1e9 + step_s)}
