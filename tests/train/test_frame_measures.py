"""Zero-crossing rate and spectral centroid are those of a frame, and lie beside the bands in training and in judging alike."""

import numpy as np
import pytest

from monitor.audio import SAMPLE_RATE
from monitor.features import Normalisation, frame_count
from tests.train.voices import cast
from train.batches import blended
from train.dataset import Recipe
from train.frame_measures import MeasuringWorkshop, read_clip, spectral_centroid, zero_crossing_rate

NORMALISATION = Normalisation(25.0, np.full(64, 1 / 64, np.float32))


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE + 0.1).astype(np.float32)


@pytest.mark.parametrize("hz", [300.0, 1000.0, 3000.0])
def test_a_tone_crosses_zero_twice_a_period_and_is_centred_on_itself(hz: float) -> None:
    rates, centroids = zero_crossing_rate(tone(hz)), spectral_centroid(tone(hz))
    assert rates.shape == centroids.shape == (frame_count(SAMPLE_RATE),)
    assert rates == pytest.approx(2 * hz / SAMPLE_RATE, abs=0.003)
    assert centroids == pytest.approx(hz / 4000.0, abs=0.02)


def test_silence_has_neither_whatever_the_sign_of_its_zeros() -> None:
    silence = np.zeros(4000, np.float32) * np.where(np.arange(4000) % 2, -1, 1).astype(np.float32)
    assert not zero_crossing_rate(silence).any()
    assert not spectral_centroid(silence).any()


def test_level_changes_neither() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 4000).astype(np.float32)
    assert np.array_equal(zero_crossing_rate(noise), zero_crossing_rate(0.01 * noise))
    assert spectral_centroid(0.01 * noise) == pytest.approx(spectral_centroid(noise), abs=1e-5)


def test_a_clip_is_read_with_the_measures_of_its_own_windows() -> None:
    samples = tone(1000.0, 4.0)
    read = read_clip(samples, NORMALISATION)
    assert read.shape[1:] == (192, 66)
    assert read[:, 4:, 64] == pytest.approx(0.25, abs=0.003)
    assert read[1:, :, 64] == pytest.approx(0.25, abs=0.003)
    short = read_clip(tone(1000.0, 1.0), NORMALISATION)
    assert short.shape == (1, 192, 66)
    assert short[0, 4:60, 65] == pytest.approx(0.25, abs=0.02)
    assert not short[0, 69:, 64:].any()


def test_training_windows_have_them_too_and_no_mask_or_warp_touches_them() -> None:
    recipe = Recipe(mixup=0.0, warped_share=1.0)
    windows = MeasuringWorkshop.of(cast(2, each=1), None, recipe, 1).features(0, range(4))
    assert (windows.shape, windows.dtype) == ((4, 192, 66), np.float16)
    before = windows.astype(np.float32)
    after, _ = blended(before.copy(), [np.eye(6, dtype=np.float32)[:4]], recipe, np.random.default_rng(1))
    assert np.array_equal(after[..., 64:], before[..., 64:])
    assert not np.array_equal(after[..., :64], before[..., :64])
