import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.features import (
    LEAD,
    FrameStream,
    Normalisation,
    frame_count,
    frames_of,
    last_features,
    mel_filter_bank,
    mel_frames,
    mel_power,
    speech_level,
    window_features,
)

FLAT = Normalisation(floor_db=20.0, spectrum=np.full(64, 1 / 64, np.float32))


@pytest.fixture
def voice() -> np.ndarray:
    """3 s of a buzzing tone that comes and goes, 8 kHz."""
    time_s = np.arange(24_000) / 8_000
    buzz = sum(np.sin(2 * np.pi * 140 * k * time_s) / k for k in range(1, 20))
    return (0.05 * buzz * (np.sin(2 * np.pi * 1.5 * time_s) > 0)).astype(np.float32)


def test_mel_power_is_librosas(voice: np.ndarray) -> None:
    theirs = librosa.feature.melspectrogram(
        y=voice, sr=8_000, n_fft=512, hop_length=125, center=False, n_mels=64, fmin=60.0, fmax=3_900.0
    )
    ours = mel_power(voice)
    assert ours.shape == (188, 64)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs.T, rtol=1e-4, atol=1e-4 * theirs.max() * 1e-4)


def test_the_filter_bank_is_librosas() -> None:
    theirs = librosa.filters.mel(sr=8_000, n_fft=512, n_mels=64, fmin=60.0, fmax=3_900.0)
    np.testing.assert_allclose(mel_filter_bank(), theirs.T, atol=1e-7)


def test_frames_of_parts_are_the_frames_of_the_whole(voice: np.ndarray) -> None:
    whole = mel_power(voice)
    parts = [mel_power(voice[start : start + 2_000 + 387]) for start in range(0, 24_000, 2_000)]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-5)


@given(st.lists(st.integers(0, 1_500), min_size=1, max_size=20).filter(lambda sizes: sum(sizes) >= 512))
def test_a_stream_has_the_frames_of_the_whole_however_it_is_cut(sizes: list[int]) -> None:
    noise = np.random.default_rng(0).standard_normal(sum(sizes)).astype(np.float32)
    stream, pieces = FrameStream(), np.split(noise, np.cumsum(sizes)[:-1])
    found = mel_frames([(stream, piece) for piece in pieces])
    whole = mel_power(np.concatenate([np.zeros(LEAD, np.float32), noise]))
    assert [len(frames.power) for frames in found] == np.diff(
        [frame_count(LEAD + end) for end in np.cumsum([0, *sizes])]
    ).tolist()
    np.testing.assert_allclose(np.concatenate([frames.power for frames in found]), whole, rtol=1e-4)
    energy = whole.sum(axis=1)
    assert sum(frames.energy for frames in found) == pytest.approx(float(energy.sum()), rel=1e-4)
    assert sum(frames.squares for frames in found) == pytest.approx(float(energy.dot(energy)), rel=1e-4)


def test_streams_together_have_to_the_last_bit_the_frames_that_each_has_alone() -> None:
    rng = np.random.default_rng(0)
    pieces = [rng.standard_normal(size).astype(np.float32) for size in [2_000] * 20 + [700, 700, 90]]
    alone = [mel_frames([(FrameStream(), piece)])[0] for piece in pieces]
    together = mel_frames([(FrameStream(), piece) for piece in pieces])
    for one, other in zip(together, alone, strict=True):
        assert (one.power.tobytes(), one.energy, one.squares) == (other.power.tobytes(), other.energy, other.squares)
        assert one.spectral_shape.tobytes() == other.spectral_shape.tobytes()


def test_the_spectral_shape_of_frames_is_the_root_of_each_bands_share() -> None:
    power = np.zeros((16, 64), np.float32)
    power[:4, 10], power[4:, 20] = 3.0, 9.0
    shape = frames_of(power).spectral_shape
    assert shape[[10, 20]] == pytest.approx(np.sqrt([0.1, 0.9]))
    assert np.count_nonzero(shape) == 2
    assert not frames_of(np.zeros((16, 64), np.float32)).spectral_shape.any()


def test_every_quarter_of_a_second_completes_sixteen_frames(voice: np.ndarray) -> None:
    stream = FrameStream()
    found = mel_frames([(stream, piece) for piece in voice.reshape(-1, 2_000)])
    assert [len(frames.power) for frames in found] == [16] * 12


def test_the_last_frames_of_windows_are_read_over_the_level_of_the_whole_window(voice: np.ndarray) -> None:
    pieces = [
        frames_of(power) for power in mel_power(np.concatenate([voice, np.zeros(500, np.float32)])).reshape(12, 16, 64)
    ]
    windows = [pieces, [*pieces[6:], *pieces[:6]]]
    whole = np.stack([np.concatenate([piece.power for piece in window]) for window in windows])
    for counts in ((1, 1), (2, 5), (12, 1)):
        last = last_features(windows, counts, FLAT)
        wanted = [read[-16 * count :] for read, count in zip(window_features(whole, FLAT), counts, strict=True)]
        np.testing.assert_allclose(last.reshape(-1, 64), np.concatenate(wanted), atol=1e-5)
    silence = [frames_of(np.zeros((16, 64), np.float32))] * 12
    np.testing.assert_allclose(last_features([silence], (2,), FLAT), -2.0)


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (511, 0), (512, 1), (636, 1), (637, 2), (24_000, 188)])
def test_only_whole_frames_count(samples: int, frames: int) -> None:
    assert frame_count(samples) == frames


@pytest.mark.parametrize("gain_db", [-30.0, -12.0, 12.0, 30.0])
def test_gain_changes_no_feature(voice: np.ndarray, gain_db: float) -> None:
    louder = (voice * 10 ** (gain_db / 20)).astype(np.float32)
    np.testing.assert_allclose(
        window_features(mel_power(louder), FLAT), window_features(mel_power(voice), FLAT), atol=1e-4
    )


def test_pauses_do_not_weigh_in_the_level(voice: np.ndarray) -> None:
    padded = np.concatenate([voice, np.zeros(24_000, np.float32)])
    assert speech_level(mel_power(padded)) == pytest.approx(float(speech_level(mel_power(voice))), rel=0.01)


def test_what_lies_far_under_the_voice_is_equally_silent(voice: np.ndarray) -> None:
    hiss = (1e-4 * np.random.default_rng(1).standard_normal(24_000)).astype(np.float32)
    gated, noisy = window_features(mel_power(voice), FLAT), window_features(mel_power(voice + hiss), FLAT)
    silent = mel_power(voice).sum(axis=1) == 0
    np.testing.assert_allclose(gated[silent], -2.0, atol=1e-6)
    np.testing.assert_allclose(noisy[silent], -2.0, atol=0.02)


def test_digital_silence_gives_numbers() -> None:
    assert np.isfinite(window_features(np.zeros((2, 192, 64), np.float32), FLAT)).all()
