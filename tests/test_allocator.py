import gc
import os
import platform
import sys
import threading
import weakref
from pathlib import Path

import pytest

from monitor import allocator
from monitor.allocator import give_back, give_back_until

MB = 1_000_000


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc, whose allocator this is about")
def test_what_was_freed_between_things_that_stay_goes_back_to_the_system() -> None:
    give_back()
    before = rss_bytes()
    pieces = [bytearray(8_000) for _ in range(10_000)]
    assert rss_bytes() - before > 70 * MB
    kept = pieces[::100]  # the C library lets go of nothing before the last of them
    del pieces
    give_back()
    assert rss_bytes() - before < 20 * MB
    assert len(kept) == 100


def test_rings_that_nobody_holds_are_gone_at_once() -> None:
    class Ring:
        def __init__(self) -> None:
            self.own = self

    gc.collect()
    gc.disable()
    try:
        seen = weakref.ref(Ring())
        assert seen() is not None
        give_back()
        assert seen() is None
    finally:
        gc.enable()


def test_where_the_system_has_another_allocator_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    allocator._trim.cache_clear()
    monkeypatch.setattr(sys, "platform", "darwin")
    give_back()
    assert allocator._trim() is None
    allocator._trim.cache_clear()


def test_a_process_gives_back_again_and_again_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    over, given_back, times = threading.Event(), threading.Event(), []

    def note() -> None:
        times.append(len(times))
        if len(times) == 3:
            over.set()
            given_back.set()

    monkeypatch.setattr(allocator, "EVERY_S", 0.001)
    monkeypatch.setattr(allocator, "give_back", note)
    before = {*threading.enumerate()}
    give_back_until(over)
    assert given_back.wait(20)
    for thread in {*threading.enumerate()} - before:
        thread.join(20)
    assert times == [0, 1, 2]
