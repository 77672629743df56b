import errno

import pytest

from monitor.sources.ports import why_not


@pytest.mark.parametrize(
    ("port", "number", "text"),
    [
        (
            8766,
            errno.EADDRINUSE,
            "port 8766 on ::1 is taken: another callmood may run; choose another by --set streams.port=8767",
        ),
        (
            65_535,
            errno.EADDRINUSE,
            "port 65535 on ::1 is taken: another callmood may run; choose another by --set streams.port=65534",
        ),
        (
            80,
            errno.EACCES,
            "port 80 on ::1 may not be opened by this user; choose one from 1024 to 65535 for streams.port",
        ),
        (80, errno.EADDRNOTAVAIL, "port 80 on ::1 cannot be opened: why; see streams.host"),
    ],
)
def test_why_a_port_cannot_be_opened_comes_with_the_cure(port: int, number: int, text: str) -> None:
    assert why_not("streams", "::1", port, OSError(number, "why")) == text
