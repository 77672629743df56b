import pytest
from board_messages import ended, gap, reading, started

from monitor.cli.console import print_event


def test_a_service_prints_calls_and_alerts_but_neither_readings_nor_gaps(capsys: pytest.CaptureFixture[str]) -> None:
    for message in (started(), reading(3.0, "anger"), gap(1.0, 2.0), ended(4.0)):
        print_event(message)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1].split(":")[0].strip() for line in printed] == ["started", "ended"]
