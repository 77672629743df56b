"""What the training commands say on stderr while they work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(stderr=True)


@contextmanager
def working(what: str) -> Iterator[Callable[[str, int, int], None]]:
    """A spinner while `what` is heard; what it yields changes its words. Nothing where there is no terminal."""
    with console.status(f"listening to {what}") as status:
        yield lambda name, number, count: status.update(f"listening to {what}: {name} ({number + 1} of {count})")
