"""Runs the fuzz of a parser, or of all:

    python -m tests.fuzz [NAME ...] [--inputs 200000] [--seed 1]

Exit code 1 where anything but a value or one of our errors came out, an input took longer than a second, or memory grew.
"""

import argparse
import sys

from tests.fuzz.mutation import fuzz
from tests.fuzz.targets import all_targets

_MOST_GROWTH_BYTES = 1 << 20


def main() -> int:
    targets = {target.name: target for target in all_targets()}
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(targets))
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if unknown := set(given.names) - set(targets):
        parser.error(f"no target named {', '.join(sorted(unknown))}; there are {', '.join(targets)}")
    failed = False
    for name in given.names or targets:
        outcome = fuzz(targets[name], given.inputs, given.seed)
        print(f"{name}: {outcome}", flush=True)
        failed |= bool(outcome.faults) or outcome.grown_bytes > _MOST_GROWTH_BYTES
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
