from pathlib import Path

import pytest

from monitor.alerts.lines import read_lines
from monitor.errors import SettingError
from monitor.messages import encode
from tests.alert_readings import angers


def test_messages_are_read_as_they_were_printed(tmp_path: Path) -> None:
    path = tmp_path / "call.jsonl"
    path.write_bytes(b"\n\n".join(map(encode, angers([0.5, None]))))
    assert list(read_lines(path)) == angers([0.5, None])


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"type":"reading"}', b"\xff", b"customer  anger"])
def test_what_is_no_message_is_refused_with_its_line(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "call.jsonl"
    path.write_bytes(encode(angers([0.5])[0]) + b"\n" + line + b"\n")
    messages = read_lines(path)
    next(messages)
    with pytest.raises(SettingError, match=r"call\.jsonl:2: no message of callmood: .*; expected a message a line, as"):
        next(messages)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"none\.jsonl: cannot read the messages: No such file or directory"):
        list(read_lines(tmp_path / "none.jsonl"))
