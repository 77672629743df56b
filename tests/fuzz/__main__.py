"""Runs the fuzz of a parser, or of all:

    python -m tests.fuzz [NAME ...] [--inputs 200000] [--seed 1] [--keep FOLDER]
    python -m tests.fuzz NAME --give FILE

Exit code 1 where anything but a value or one of our errors came out, an input took longer than a second, or memory grew.
Such inputs go into files of the folder that `--keep` names, as NAME-1 and so on; `--give` gives one to the parser again.
"""

import argparse
import logging
import sys
from pathlib import Path

from tests.fuzz.mutation import Outcome, fuzz
from tests.fuzz.targets import all_targets

_MOST_GROWTH_BYTES = 1 << 18


def main() -> int:
    targets = {target.name: target for target in all_targets()}
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(targets))
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzzed"), metavar="FOLDER", help="default: ./fuzzed")
    parser.add_argument("--give", type=Path, metavar="FILE", help="gives what is in it to the one parser that is named")
    given = parser.parse_args()
    if unknown := set(given.names) - set(targets):
        parser.error(f"no target named {', '.join(sorted(unknown))}; there are {', '.join(targets)}")
    if given.give is not None:
        if len(given.names) != 1:
            parser.error(f"--give takes one NAME, got {len(given.names)}")
        print(repr(targets[given.names[0]].parse(given.give.read_bytes())))  # what comes out of it may be a traceback
        return 0
    logging.getLogger().addHandler(logging.NullHandler())  # what is told of so many broken inputs is of no use
    failed = False
    for name in given.names or targets:
        outcome = fuzz(targets[name], given.inputs, given.seed)
        print(f"{name}: {outcome}", flush=True)
        _keep(outcome, given.keep, name)
        failed |= bool(outcome.faults) or outcome.grown_bytes > _MOST_GROWTH_BYTES
    return int(failed)


def _keep(outcome: Outcome, folder: Path, name: str) -> None:
    for number, data in enumerate(outcome.faulty, 1):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name.replace(' ', '-')}-{number}"
        path.write_bytes(data)
        print(f"whole input {number}: {path}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
