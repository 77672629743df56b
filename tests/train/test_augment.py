"""Alterations are pure, keep the length and do what they say."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from monitor.audio import Block, Samples
from monitor.cells import Cell, PartyCells
from monitor.features import Normalisation
from train import augment
from train.corpus import Clip
from train.dataset import WINDOW, Recipe, Workshop, average_spectrum, targets
from train.noise import CorpusError, coloured_noise, noise_bank, read_noise

RATE = 8_000


def speech(seed: int = 1, seconds: float = 2.0) -> Samples:
    """Bursts of noise, 0.2 s apart, over a faint floor."""
    generator = np.random.default_rng(seed)
    bursts = (np.arange(int(seconds * RATE)) // 1600) % 2
    samples = 0.1 * bursts * generator.standard_normal(len(bursts)) + 0.0005 * generator.standard_normal(len(bursts))
    return samples.astype(np.float32)


SAME_LENGTH: dict[str, Callable[[Samples], Samples]] = {
    "mulaw": lambda s: augment.through_codec(s, "mulaw"),
    "alaw": lambda s: augment.through_codec(s, "alaw"),
    "gate": augment.gate,
    "noise": lambda s: augment.add_noise(s, coloured_noise(len(s), 1.0, np.random.default_rng(1)), 10.0),
    "loss": lambda s: augment.drop_packets(s, 0.3, np.random.default_rng(1)),
    "line": lambda s: augment.filter_by(s, augment.line_response(len(s), 2.0, 200.0, 3_400.0, np.ones(4, np.float32))),
    "room": lambda s: augment.filter_by(s, augment.room_response(len(s), 0.3, 3.0, np.random.default_rng(1))),
    "compress": lambda s: augment.compress(s, 0.5),
    "scale": lambda s: augment.scale_to(s, -26.0),
}


@pytest.mark.parametrize("name", SAME_LENGTH)
def test_an_alteration_changes_the_samples_but_not_its_input(name: str) -> None:
    samples = speech()
    before = samples.copy()
    altered = SAME_LENGTH[name](samples)
    assert np.array_equal(samples, before)
    assert altered.shape == samples.shape
    assert altered.dtype == np.float32
    assert np.isfinite(altered).all()
    assert not np.array_equal(altered, samples)


@pytest.mark.parametrize("name", SAME_LENGTH)
def test_an_alteration_takes_digital_silence(name: str) -> None:
    assert np.isfinite(SAME_LENGTH[name](np.zeros(RATE, np.float32))).all()


def test_noise_lies_as_far_under_the_voice_as_asked() -> None:
    samples, noise = speech(), coloured_noise(2 * RATE, 0.0, np.random.default_rng(2))
    added = augment.add_noise(samples, noise, 20.0) - samples
    ratio_db = 10 * np.log10(augment.voice_power(samples) / np.mean(added**2))
    assert ratio_db == pytest.approx(20.0, abs=0.1)


def test_the_gate_silences_pauses_and_leaves_the_voice() -> None:
    samples = speech()
    gated = augment.gate(samples, 20.0, 0.03)
    bursts = (np.arange(len(samples)) // 1600) % 2 == 1
    assert np.array_equal(gated[bursts], samples[bursts])
    assert np.mean(gated[~bursts] == 0.0) > 0.5


def test_the_asked_share_of_packets_is_lost() -> None:
    lost = augment.drop_packets(np.ones(160 * 1000, np.float32), 0.05, np.random.default_rng(1))
    assert np.mean(lost == 0.0) == pytest.approx(0.05, abs=0.02)


def test_lost_packets_are_hidden_as_live() -> None:
    voice, generators = tone(200.0, 3.0), [np.random.default_rng(5) for _ in range(3)]
    silent = augment.drop_packets(voice, 0.1, generators[0])
    hidden = augment.drop_packets(voice, 0.1, generators[1], concealed=True)
    lost = np.repeat(generators[2].random(len(voice) // 160) < 0.1, 160)
    cells = PartyCells()
    heard = [
        cell.samples
        for at in range(0, len(voice), 160)
        if not lost[at]
        for cell in cells.push(Block("c", "customer", at, RATE, voice[at : at + 160], 0.0))
        if isinstance(cell, Cell)
    ]
    whole = np.concatenate([*heard, *(cell.samples for cell in cells.finish())])
    assert len(whole) > 0.95 * len(voice)
    assert np.array_equal(whole, hidden[: len(whole)])
    assert np.mean(silent == 0.0) - np.mean(hidden == 0.0) > 0.05


def tone(hz: float, seconds: float = 1.0) -> Samples:
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


def peak_hz(samples: Samples) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * RATE / len(samples))


def test_speed_moves_pitch_and_length() -> None:
    faster = augment.resample_by(tone(400.0), 1.25)
    assert len(faster) == pytest.approx(RATE / 1.25, abs=2)
    assert peak_hz(faster) == pytest.approx(500.0, abs=3.0)


def test_stretching_moves_the_length_only() -> None:
    longer = augment.stretch(tone(400.0), 0.8)
    assert len(longer) == pytest.approx(RATE / 0.8, abs=200)
    assert peak_hz(longer) == pytest.approx(400.0, abs=3.0)


def test_shifting_moves_the_pitch_only() -> None:
    higher = augment.shift_pitch(tone(400.0), 1.1)
    assert len(higher) == pytest.approx(RATE, abs=400)
    assert peak_hz(higher) == pytest.approx(440.0, abs=4.0)


def clip(number: int, label: str) -> Clip:
    pcm = (speech(number, 2.2) * 32_768).astype(np.int16)
    return Clip(f"clip{number}", f"{1001 + number % 2}", "IEO", label, "XX", None, None, (8, 0, 0, 0, 2, 0), pcm)  # type: ignore[arg-type]


def workshop(seed: int = 1) -> Workshop:
    clips = tuple(clip(number, label) for number, label in enumerate(("anger", "sad", "anger", "sad", "neutral")))
    noises = noise_bank([c.samples for c in clips], None, 1)
    return Workshop(clips, noises, Normalisation(20.0, average_spectrum(clips)), Recipe(), seed)


def test_joined_windows_are_shuffled() -> None:
    made = []
    for share in (0.0, 1.0):
        recipe = dataclasses.replace(Recipe(), joined_share=1.0, shuffled_share=share)
        made.append(dataclasses.replace(workshop(), recipe=recipe).features(3, [0, 1]))
    assert not np.array_equal(*made)


def test_the_same_seed_makes_the_same_windows_in_any_order() -> None:
    made = workshop().features(3, [0, 1, 2, 3, 4])
    assert made.shape == (5, 192, 64)
    assert np.array_equal(made[::-1], workshop().features(3, [4, 3, 2, 1, 0]))
    assert not np.array_equal(made, workshop().features(4, [0, 1, 2, 3, 4]))
    assert not np.array_equal(made, workshop(2).features(3, [0, 1, 2, 3, 4]))


def test_windows_are_whole_and_finite_whatever_the_line_does() -> None:
    shop = workshop()
    for epoch in range(30):
        window = shop.window(epoch, epoch % 5)
        assert window.shape == (WINDOW,)
        assert np.isfinite(window).all()
    assert np.isfinite(shop.features(0, range(5))).all()


def test_targets_lean_on_the_votes() -> None:
    assert targets([clip(0, "anger")], 0.0)[0, 0] == 1.0
    row = targets([clip(0, "anger")], 0.2)[0]
    assert row == pytest.approx([0.8 + 0.2 * 0.8, 0, 0, 0, 0.2 * 0.2, 0])


def test_a_noise_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no \.wav, \.flac or \.ogg in noise folder"):
        noise_bank([speech()], tmp_path, 1)
    (tmp_path / "hum.wav").write_text("no audio")
    with pytest.raises(CorpusError, match="cannot be read"):
        read_noise(tmp_path / "hum.wav")


def test_a_shuffled_voice_is_the_same_pieces_in_another_order() -> None:
    ramp = np.arange(24_000, dtype=np.float32)
    shuffled = augment.shuffle(ramp, (0.15, 0.8), np.random.default_rng(1))
    assert len(shuffled) == len(ramp)
    inner = np.abs(np.diff(shuffled) - 1.0) < 0.01
    edges = np.flatnonzero(np.diff(inner, prepend=False, append=False)).reshape(-1, 2)
    whole = edges[np.ptp(edges, axis=1) > 2 * augment.FADE]
    assert 4 <= len(whole) <= 20
    assert np.ptp(whole, axis=1).max() <= 0.81 * 8_000
    firsts = shuffled[whole[:, 0]]
    assert list(firsts) != sorted(firsts)
    assert np.ptp(whole, axis=1).sum() > 0.85 * len(ramp)
    assert len(np.unique(np.round(np.concatenate([shuffled[a:b] for a, b in whole])))) > 0.85 * len(ramp)
    level = augment.shuffle(np.ones(24_000, np.float32), (0.15, 0.8), np.random.default_rng(1))
    assert level[augment.FADE : -augment.FADE] == pytest.approx(1.0, abs=1e-6)
