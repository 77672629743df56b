import logging

import pytest

from monitor.sources.complaints import Complaints


def test_no_more_is_logged_than_a_reader_can_take(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    complaints = Complaints(logging.getLogger("tests.complaints"), lambda: now_s)
    for number in range(100):
        complaints.tell(f"warning {number}")
    assert caplog.messages == [f"warning {number}" for number in range(20)]
    now_s = 1.0
    complaints.tell("one more")
    assert caplog.messages[-1] == "one more (80 such warnings before it were left out)"


def test_what_a_peer_wrote_is_made_visible(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints(logging.getLogger("tests.complaints"), lambda: 0.0)
    complaints.tell("got au\udcd4io\x1b[2J\r\nforged: line")
    assert caplog.messages == [r"got au\udcd4io\x1b[2J\r\nforged: line"]
