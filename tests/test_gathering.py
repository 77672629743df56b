"""Blocks of any size → blocks that end with the pipeline's cells."""

from collections.abc import Iterable
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.audio import Block
from monitor.cells import CELL, Cell, Lost, PartyCells
from monitor.errors import AudioError
from monitor.gathering import Gathering
from tests.test_windows import speech_like

VOICE = speech_like(20.0)
SIZES = st.lists(st.integers(1, 6_000), min_size=1, max_size=40)


def blocks_of(sizes: Iterable[int], rate: int = 8_000, lost: frozenset[int] = frozenset()) -> list[Block]:
    """So many samples each; those whose numbers are in `lost` never came."""
    ends = list(accumulate(sizes))
    starts = [0, *ends[:-1]]
    pieces = [(start, np.resize(VOICE, end)[start:]) for start, end in zip(starts, ends, strict=True)]
    every = [Block("c", "customer", at, rate, samples, (at + samples.size) / rate) for at, samples in pieces]
    return [block for number, block in enumerate(every) if number not in lost]


def begun(*calls: str) -> Gathering:
    """Of calls that run."""
    gathering = Gathering()
    for call in calls:
        gathering.begin(call)
    return gathering


def gathered(blocks: Iterable[Block]) -> list[Block]:
    gathering = begun("c")
    ready = [one for block in blocks for one in gathering.add(block)]
    return ready + gathering.finish("c")


def heard(blocks: Iterable[Block]) -> list[object]:
    """What the pipeline makes of them."""
    cells = PartyCells()
    pieces = [piece for block in blocks for piece in cells.push(block)] + cells.finish()
    return [one if isinstance(one, Lost) else (one.samples.tolist(), one.lost) for one in pieces]


@given(
    st.lists(st.integers(1, 6_000), min_size=1, max_size=40),
    st.sampled_from([8_000, 11_025, 48_000]),
    st.frozensets(st.integers(0, 40), max_size=3),
)
def test_the_pipeline_hears_the_same(sizes: list[int], rate: int, lost: frozenset[int]) -> None:
    blocks = blocks_of(sizes, rate, lost)
    assert heard(gathered(blocks)) == heard(blocks)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=80))
def test_a_cell_is_complete_with_the_very_block_that_ends_it(sizes: list[int]) -> None:
    gathering, plain, behind = begun("c"), PartyCells(), PartyCells()
    for block in blocks_of(sizes):
        at_once = [cell.arrived_s for cell in plain.push(block) if isinstance(cell, Cell)]
        later = [
            piece.arrived_s for one in gathering.add(block) for piece in behind.push(one) if isinstance(piece, Cell)
        ]
        assert later == at_once


@given(st.lists(st.integers(1, 3_000), min_size=1, max_size=60))
def test_a_block_brings_just_the_cells_that_it_ends(sizes: list[int]) -> None:
    *ready, last = gathered(blocks_of(sizes))
    assert all((block.start % CELL, (block.start + block.samples.size) % CELL) == (0, 0) for block in ready)
    assert last.start + last.samples.size == sum(sizes)
    assert last.start + max(CELL, last.samples.size // CELL * CELL) >= sum(sizes) // CELL * CELL


def test_audio_at_another_rate_goes_on_as_it_comes() -> None:
    blocks = [*blocks_of([500]), *blocks_of([700, 100], rate=16_000)]
    assert gathered(blocks) == blocks


def test_a_block_that_ends_with_a_cell_goes_through_as_it_is() -> None:
    (block,) = blocks_of([CELL])
    (same,) = begun("c").add(block)
    assert same is block


def test_parties_and_calls_wait_apart() -> None:
    gathering = begun("a", "b")
    (one,) = blocks_of([500])
    for call, party in (("a", "agent"), ("a", "customer"), ("b", "customer")):
        assert not gathering.add(Block(call, party, 0, 8_000, one.samples, 0.0))  # type: ignore[arg-type]
    assert [(block.call, block.party) for block in gathering.finish("a")] == [("a", "agent"), ("a", "customer")]
    gathering.forget("b")
    assert gathering.finish("b") == []


def test_nothing_waits_of_a_call_that_does_not_run() -> None:
    gathering = begun("c")
    assert gathering.finish("c") == []
    (late,) = blocks_of([500])
    assert [*gathering.add(late)] == [late]
    assert gathering.finish("c") == []


def test_what_is_none_costs_no_good_samples_before_it() -> None:
    blocks = blocks_of([500, 500, 500, 500])
    blocks[2].samples[7] = np.nan
    assert [block.start for block in gathered(blocks)] == [0, 500, 1_000, 1_500]
    cells = PartyCells()
    for block in gathered(blocks)[:2]:
        cells.push(block)
    with pytest.raises(AudioError, match=r"sample at 0\.126 s is nan"):
        cells.push(gathered(blocks)[2])
    assert cells.position == 1_000
