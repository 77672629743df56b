"""Prints messages, as JSON or as lines, while somebody reads them."""

import _thread
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer


def has_screen() -> bool:
    """Whether stdout is a terminal on which a cursor moves; one that is not gets lines."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def print_json(message: Any) -> None:
    from monitor.messages import encode

    with while_somebody_reads():
        sys.stdout.buffer.write(encode(message) + b"\n")
        sys.stdout.buffer.flush()


def print_line(message: Any) -> None:
    from monitor.plain import line

    text = line(message)
    if text is not None:
        with while_somebody_reads():
            typer.echo(text)


def print_event(message: Any) -> None:
    """Without readings and gaps: what a service says for months is kept somewhere."""
    from monitor.messages import Gap, Reading

    if not isinstance(message, Reading | Gap):
        print_line(message)


@contextmanager
def while_somebody_reads() -> Iterator[None]:
    """Whoever reads what another thread prints may go away (`| head`): that ends the program like Ctrl-C, without a word."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _thread.interrupt_main(signal.SIGTERM)


def one_line(text: str) -> str:
    return " ".join(text.split())
