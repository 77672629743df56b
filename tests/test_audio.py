import pickle

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.audio import (
    SAMPLE_RATE,
    Block,
    Resampler,
    alaw_to_float,
    float_to_alaw,
    float_to_mulaw,
    float_to_pcm,
    level_db,
    mulaw_to_float,
    pcm_to_float,
)

CODES = np.arange(256, dtype=np.uint8)
MULAW = {0x00: -32_124, 0x01: -31_100, 0x7E: -8, 0x7F: 0, 0x80: 32_124, 0x8F: 16_764, 0xEF: 132, 0xFE: 8, 0xFF: 0}
"""ITU-T G.711, code → 16 bit sample."""
ALAW = {0x2A: -32_256, 0x55: -8, 0x54: -24, 0x80: 5_504, 0xAA: 32_256, 0xD4: 24, 0xD5: 8}

samples_16_bit = st.integers(-32_768, 32_767)


def pcm(codes: npt.NDArray[np.float32]) -> list[int]:
    return [int(sample) for sample in float_to_pcm(codes)]


def test_mulaw_codes_mean_what_the_standard_says() -> None:
    assert pcm(mulaw_to_float(np.array(list(MULAW), np.uint8))) == list(MULAW.values())


def test_alaw_codes_mean_what_the_standard_says() -> None:
    assert pcm(alaw_to_float(np.array(list(ALAW), np.uint8))) == list(ALAW.values())


def test_every_mulaw_code_comes_back_but_for_the_negative_zero() -> None:
    back = float_to_mulaw(mulaw_to_float(CODES))
    assert np.array_equal(back, np.where(CODES == 0x7F, 0xFF, CODES))


def test_every_alaw_code_comes_back() -> None:
    assert np.array_equal(float_to_alaw(alaw_to_float(CODES)), CODES)


def test_silence_has_the_code_that_the_standard_gives_it() -> None:
    silence = np.zeros(1, np.float32)
    assert (float_to_mulaw(silence)[0], float_to_alaw(silence)[0]) == (0xFF, 0xD5)


@given(st.lists(samples_16_bit, min_size=1))
def test_no_other_code_is_nearer(samples: list[int]) -> None:
    written = pcm_to_float(np.array(samples, np.int16))
    for encode, decode in ((float_to_mulaw, mulaw_to_float), (float_to_alaw, alaw_to_float)):
        error = np.abs(decode(encode(written)) - written)
        assert np.array_equal(error, np.abs(decode(CODES)[:, None] - written).min(axis=0))


@given(st.lists(samples_16_bit))
def test_pcm_comes_back_as_it_was(samples: list[int]) -> None:
    assert pcm(pcm_to_float(np.array(samples, np.int16))) == samples


def test_what_is_too_loud_for_pcm_is_clipped() -> None:
    assert pcm(np.array([1.5, 1.0, -1.0, -1.5], np.float32)) == [32_767, 32_767, -32_768, -32_768]


@pytest.mark.parametrize("sample_rate", [8_001, 11_025, 16_000, 22_050, 44_100, 48_000])
@settings(max_examples=25)
@given(cuts=st.lists(st.integers(0, 12_000), max_size=12))
def test_resampled_audio_does_not_depend_on_how_it_was_cut(sample_rate: int, cuts: list[int]) -> None:
    samples = np.random.default_rng(1).standard_normal(12_000).astype(np.float32)
    whole = Resampler(sample_rate).push(samples, last=True)
    resampler = Resampler(sample_rate)
    pieces = [resampler.push(piece) for piece in np.split(samples, sorted(cuts))]
    pieces.append(resampler.push(np.zeros(0, np.float32), last=True))
    assert np.array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize("sample_rate", [11_025, 16_000, 48_000])
def test_a_tone_keeps_its_pitch_level_and_length(sample_rate: int) -> None:
    time_s = np.arange(sample_rate) / sample_rate
    resampled = Resampler(sample_rate).push(np.sin(2 * np.pi * 1_000 * time_s).astype(np.float32), last=True)
    expected = np.sin(2 * np.pi * 1_000 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    assert resampled.size == SAMPLE_RATE
    assert np.abs(resampled - expected)[200:-200].max() < 0.01


def test_what_a_phone_does_not_carry_is_taken_away() -> None:
    time_s = np.arange(16_000) / 16_000
    resampled = Resampler(16_000).push(np.sin(2 * np.pi * 6_000 * time_s).astype(np.float32), last=True)
    assert np.abs(resampled[200:-200]).max() < 1e-4


def test_the_level_is_in_decibels_under_full_scale() -> None:
    assert level_db(np.ones(10, np.float32)) == pytest.approx(0)
    assert level_db(np.full(10, 0.1, np.float32)) == pytest.approx(-20)


@pytest.mark.parametrize("count", [0, 10])
def test_digital_silence_has_no_level(count: int) -> None:
    assert level_db(np.zeros(count, np.float32)) is None


def test_blocks_go_from_process_to_process_by_their_fields() -> None:
    plain = Block("call", "agent", 16, 16_000, np.arange(5, dtype=np.float32), 1.5)
    coded = Block("call", "customer", 8, SAMPLE_RATE, bytes(range(0, 250)), 2.5, alaw_to_float)
    for block in (plain, coded):
        back = pickle.loads(pickle.dumps(block, pickle.HIGHEST_PROTOCOL))
        assert back.law is block.law
        assert (back.call, back.party, back.start, back.sample_rate) == (
            block.call,
            block.party,
            block.start,
            block.sample_rate,
        )
        assert back.arrived_s == block.arrived_s
        np.testing.assert_array_equal(back.samples, block.samples)
    assert len(pickle.dumps(coded, pickle.HIGHEST_PROTOCOL)) < 250 + 200


def test_what_a_caller_said_is_in_no_repr_of_a_block() -> None:
    coded = Block("call", "customer", 8, SAMPLE_RATE, b"secret", 2.5, alaw_to_float)
    assert repr(coded) == "Block('call', 'customer', 8, 8000 Hz, 6 samples)"
    assert (
        repr(Block("call", "agent", 0, 16_000, np.zeros(3, np.float32), 0.0))
        == "Block('call', 'agent', 0, 16000 Hz, 3 samples)"
    )


def test_a_block_of_codes_has_their_samples() -> None:
    codes = np.arange(256, dtype=np.uint8)
    block = Block("call", "customer", 8, SAMPLE_RATE, codes.tobytes(), 2.5, mulaw_to_float)
    assert (block.size, block.duration_s, block.sample_rate) == (256, 0.032, 8_000)
    np.testing.assert_array_equal(block.samples, mulaw_to_float(codes))
