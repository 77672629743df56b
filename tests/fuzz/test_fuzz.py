"""A small part of the fuzz; `python -m tests.fuzz --inputs 200000` is the whole."""

import pytest

from tests.fuzz.mutation import Target, fuzz, mutations
from tests.fuzz.targets import all_targets

TARGETS = all_targets()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_any_mutation_of_real_input_gives_a_value_or_our_error(target: Target) -> None:
    outcome = fuzz(target, 1_000)
    assert outcome.faults == []
    assert outcome.values > 0, "the seeds themselves must be taken"
    assert outcome.grown_bytes < 1 << 20


def test_a_parser_that_fails_is_found_out() -> None:
    outcome = fuzz(Target("bad", [b"seed"], lambda data: data.decode("ascii")), 500)
    assert outcome.faults[0].startswith("UnicodeDecodeError(")
    with pytest.raises(UnicodeDecodeError):
        outcome.faulty[0].decode("ascii")


def test_the_same_seed_gives_the_same_inputs() -> None:
    assert list(mutations([b"abc", b"defg"], 50, 3)) == list(mutations([b"abc", b"defg"], 50, 3))
