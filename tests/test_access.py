"""Only this machine's own programs and pages may listen to calls."""

import pytest

from monitor.access import refusal

HERE = ["127.0.0.1:8765"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8765", "127.0.0.1:9000", "[::1]:8765"])
def test_a_program_on_this_machine_is_welcome(host: str):
    assert refusal([host], []) is None


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:8765"])
def test_a_page_of_this_machine_is_welcome(origin: str):
    assert refusal(HERE, [origin]) is None


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "",
        "file://",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example:8765",
        "http://evil.example/127.0.0.1",
        "http://evil@localhost",
        "http://localhost\n",
        "chrome-extension://localhost",
    ],
)
def test_any_other_page_is_refused(origin: str):
    assert "is refused: only pages of this machine" in str(refusal(HERE, [origin]))


@pytest.mark.parametrize("host", ["evil.example:8765", "127.0.0.1.evil.example", "a@127.0.0.1", "", "10.0.0.1"])
def test_a_foreign_name_that_resolves_to_this_machine_is_refused(host: str):
    assert "is refused: this server answers to localhost" in str(refusal([host], []))


def test_a_missing_or_doubled_header_is_refused():
    assert refusal([], []) is not None
    assert refusal(HERE * 2, []) is not None
    assert refusal(HERE, ["http://localhost", "https://evil.example"]) is not None


def test_the_reason_is_one_short_printable_line_whatever_was_sent():
    reason = str(refusal(["\x1b[2J\n" + "x" * 10_000], []))
    assert reason.isprintable()
    assert len(reason) < 250
