import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.audio import Block, float_to_mulaw, mulaw_to_float
from monitor.cells import Lost
from monitor.errors import AudioError
from monitor.features import LEAD, mel_power
from monitor.settings import Settings
from monitor.windows import PartyWindows, Window, hear


def speech_like(seconds: float, seed: int = 0, rate: int = 8_000) -> np.ndarray:
    """Noise bursts under a buzz of two vowels in turns: something in every band, pauses in between."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * rate)) / rate
    is_open = np.sin(2 * np.pi * 0.9 * time_s) > 0
    buzz = sum(
        np.sin(2 * np.pi * 120 * k * time_s) * np.where(is_open, 1 / k, 0.5 * np.exp(-(((k - 8) / 4) ** 2)))
        for k in range(1, 15)
    )
    sound = (0.05 * buzz + 0.01 * rng.standard_normal(time_s.size)) * (np.sin(2 * np.pi * 0.7 * time_s) > -0.5)
    return sound.astype(np.float32)


def block(samples: np.ndarray, start: int, rate: int = 8_000) -> Block:
    return Block("c", "customer", start, rate, samples, arrived_s=start / rate)


def windows_of(
    samples: np.ndarray, sizes: list[int], rate: int = 8_000, hop_s: float = 0.5, features: bool = True
) -> list[Window | Lost]:
    stream = PartyWindows(3.0, hop_s, features)
    found: list[Window | Lost] = []
    start = turn = 0
    while start < samples.size:
        part = samples[start : start + sizes[turn % len(sizes)]]
        found += stream.push(block(part, start, rate))
        start, turn = start + part.size, turn + 1
    return [*found, *stream.finish()]


def assert_same(ours: list[Window | Lost], theirs: list[Window | Lost]) -> None:
    assert [(w.start, w.end) for w in ours] == [(w.start, w.end) for w in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert isinstance(one, Window)
        assert isinstance(other, Window)
        assert (one.speech_share, one.level_db, one.clipped_share) == (
            other.speech_share,
            other.level_db,
            other.clipped_share,
        )
        np.testing.assert_array_equal(one.power, other.power)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 9_000), min_size=1, max_size=8))
def test_block_sizes_change_nothing(sizes: list[int]) -> None:
    samples = speech_like(5.3)
    assert_same(windows_of(samples, sizes), windows_of(samples, [samples.size]))


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=40), st.integers(1, 20))
def test_what_is_heard_does_not_depend_on_the_parties_beside(cells: list[int], at_once: int) -> None:
    """Parties of different voices and lengths, some of whose cells come together, and a last one that is short."""
    voices = [speech_like(cells_of_one / 4 - 0.1, seed) for seed, cells_of_one in enumerate(cells)]
    parties = [PartyWindows(3.0, 0.5, with_features=number % 3 != 0) for number in range(len(voices))]
    cut = [
        party.cells.push(block(voice, 0)) + party.cells.finish() for party, voice in zip(parties, voices, strict=True)
    ]
    heard: list[list[Window]] = [[] for _ in voices]
    for start in range(0, max(map(len, cut)), at_once):
        numbers = [number for number, pieces in enumerate(cut) for _ in pieces[start : start + at_once]]
        together = [
            (parties[number], cell) for number, pieces in enumerate(cut) for cell in pieces[start : start + at_once]
        ]
        for number, window in zip(numbers, hear(together), strict=True):
            heard[number] += [window] if window is not None else []
    for number, (party, voice) in enumerate(zip(parties, voices, strict=True)):
        last = party.last()
        alone = windows_of(voice, [2_000], features=number % 3 != 0)
        assert_same([*heard[number], *([last] if last is not None else [])], alone)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(50, 30_000), min_size=1, max_size=6), st.sampled_from([11_025, 16_000, 44_100, 48_000]))
def test_block_sizes_change_nothing_after_resampling(sizes: list[int], rate: int) -> None:
    samples = speech_like(3.7, rate=rate)
    assert_same(windows_of(samples, sizes, rate), windows_of(samples, [samples.size], rate))


@pytest.mark.parametrize("hop_s", [0.25, 0.5, 0.75, 1.0, 1.25, 3.0])
def test_a_window_ends_at_every_hop_and_holds_exactly_its_three_seconds(hop_s: float) -> None:
    samples = speech_like(9.0)
    found = windows_of(samples, [160], hop_s=hop_s)
    hop = round(8_000 * hop_s)
    ends = [end for end in range(hop, 72_001, hop) if end >= 24_000]
    assert [w.end for w in found][: len(ends)] == ends
    for window in found[: len(ends)]:
        assert isinstance(window, Window)
        part = samples[window.end - 24_000 : window.end]
        np.testing.assert_allclose(window.power[-188:], mel_power(part), rtol=1e-5)
        assert window.level_db == pytest.approx(10 * np.log10(np.mean(part.astype(np.float64) ** 2)), abs=1e-3)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (1, [(0, 1)]),
        (4_000, [(0, 4_000)]),
        (23_999, [(0, 23_999)]),
        (24_000, [(0, 24_000)]),
        (24_001, [(0, 24_000), (2_000, 24_001)]),
        (28_000, [(0, 24_000), (4_000, 28_000)]),
        (30_000, [(0, 24_000), (4_000, 28_000), (6_000, 30_000)]),
    ],
)
def test_the_end_of_a_call_is_flushed_and_a_short_call_gets_one_window(
    samples: int, expected: list[tuple[int, int]]
) -> None:
    found = windows_of(speech_like(4.0)[:samples], [160])
    assert [(w.start, w.end) for w in found] == expected
    assert all(isinstance(w, Window) and w.power is not None and w.power.shape == (192, 64) for w in found)


def test_a_short_call_is_filled_up_with_silence() -> None:
    samples = speech_like(1.4)
    (window,) = windows_of(samples, [160])
    padded = np.concatenate([np.zeros(LEAD, np.float32), samples, np.zeros(24_000 - samples.size, np.float32)])
    assert isinstance(window, Window)
    np.testing.assert_allclose(window.power, mel_power(padded), rtol=1e-5)


def test_no_audio_no_window() -> None:
    assert list(PartyWindows(3.0, 0.5, True).finish()) == []


def test_lost_audio_is_marked_silence_and_time_goes_on() -> None:
    samples = speech_like(8.0)
    stream = PartyWindows(3.0, 0.5, True)
    found = [*stream.push(block(samples[:20_000], 0)), *stream.push(block(samples[24_800:], 24_800))]
    assert found[0] == Lost(20_000, 24_800)
    assert [w.end for w in found[1:]] == list(range(24_000, 64_001, 4_000))
    assert [round(w.lost_s, 3) for w in found[1:] if isinstance(w, Window)] == [0.5, *([0.6] * 5), 0.1, *([0.0] * 4)]
    silenced = samples.copy()
    silenced[20_000:24_800] = 0.0
    whole = windows_of(silenced, [64_000])
    np.testing.assert_array_equal([w.power for w in found[1:]], [w.power for w in whole])


def test_lost_audio_counts_in_the_calls_time_at_any_source_rate() -> None:
    samples = speech_like(4.0, rate=16_000)
    stream = PartyWindows(3.0, 0.5, False)
    found = [*stream.push(block(samples, 0, 16_000)), *stream.push(block(samples, 80_000, 16_000)), *stream.finish()]
    assert Lost(32_000, 40_000) in found
    assert max(w.end for w in found) == 72_000


def test_what_came_twice_counts_once() -> None:
    samples = speech_like(4.0)
    stream = PartyWindows(3.0, 0.5, True)
    found: list[Window | Lost] = []
    for start in range(0, 32_000, 1_600):
        found += stream.push(block(samples[max(0, start - 800) : start + 1_600], max(0, start - 800)))
        found += stream.push(block(samples[start : start + 800], start))
    assert_same([*found, *stream.finish()], windows_of(samples, [32_000]))


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (
            block(np.zeros(160, np.float32), 800, 16_000),
            "sample rate changed in mid-stream: expected 8000 Hz, got 16000 Hz; end the call and begin another",
        ),
        (
            block(np.zeros(160, np.float32), 40_000_000),
            "time jumped ahead by 5000 s: expected at most 3600 s of lost audio; check the source's timestamps",
        ),
        (
            block(np.array([0.0, np.nan], np.float32), 800),
            "sample at 0.100 s is nan: expected finite samples; export the audio again",
        ),
    ],
)
def test_a_block_that_cannot_belong_to_the_stream_is_refused(bad: Block, text: str) -> None:
    stream = PartyWindows(3.0, 0.5, True)
    list(stream.push(block(np.zeros(800, np.float32), 0)))
    with pytest.raises(AudioError) as caught:
        list(stream.push(bad))
    assert str(caught.value) == text


def test_clipping_is_counted_in_runs_at_full_scale() -> None:
    loud = np.clip(speech_like(3.0) * 40, -1, 1)
    soft = loud * np.float32(0.9)
    assert [w.clipped_share > 0.1 for w in windows_of(loud, [160]) if isinstance(w, Window)] == [True]
    assert [w.clipped_share for w in windows_of(soft, [160]) if isinstance(w, Window)] == [0.0]


def test_a_party_that_is_not_scored_costs_no_features() -> None:
    found = windows_of(speech_like(4.0), [160], features=False)
    assert [w.power for w in found if isinstance(w, Window)] == [None] * len(found)


def test_a_short_hole_is_concealed_but_stays_marked() -> None:
    samples = speech_like(4.0)
    stream = PartyWindows(3.0, 0.5, True)
    found = [*stream.push(block(samples[:12_000], 0)), *stream.push(block(samples[12_160:], 12_160))]
    assert found[0] == Lost(12_000, 12_160)
    assert [round(w.lost_s, 3) for w in found[1:] if isinstance(w, Window)] == [0.02, 0.02, 0.02]
    whole = windows_of(samples, [32_000])[0]
    silenced = samples.copy()
    silenced[12_000:12_160] = 0.0
    zeros = windows_of(silenced, [32_000])[0]

    def distance(window: Window) -> float:
        return float(np.abs(np.log(window.power + 1e-6) - np.log(whole.power + 1e-6)).mean())

    assert distance(found[1]) < 0.5 * distance(zeros)


def test_block_sizes_change_nothing_around_a_short_hole() -> None:
    samples = speech_like(4.0)
    found = []
    for sizes in ([12_000], [7], [11_990, 10], [160]):
        stream = PartyWindows(3.0, 0.5, True)
        windows: list[Window | Lost] = []
        start = 0
        while start < 12_000:
            size = min(sizes[start % len(sizes)], 12_000 - start)
            windows += stream.push(block(samples[start : start + size], start))
            start += size
        windows += stream.push(block(samples[12_160:], 12_160))
        found.append([window.power for window in windows if isinstance(window, Window)])
    for powers in found[1:]:
        np.testing.assert_array_equal(powers, found[0])


def steady_noise(seconds: float, pole: float, level_db: float, seed: int = 0) -> np.ndarray:
    """Noise that falls by 6 dB an octave above `pole`'s corner, as rooms and lines hum; 8 kHz."""
    white = np.fft.rfft(np.random.default_rng(seed).standard_normal(round(seconds * 8_000)))
    noise = np.fft.irfft(white / (1 - pole * np.exp(-1j * np.linspace(0, np.pi, white.size))))
    return (noise * 10 ** (level_db / 20) / noise.std()).astype(np.float32)


@pytest.mark.parametrize("pole", [0.0, 0.9, 0.95, 0.98])
@pytest.mark.parametrize("level_db", [-60, -40, -20])
def test_a_steady_line_holds_no_speech(pole: float, level_db: float) -> None:
    heard = windows_of(steady_noise(30.0, pole, level_db), [2_000])
    assert [window.speech_share for window in heard] == [0.0] * 55
    assert heard[0].level_db == pytest.approx(level_db, abs=1.0)


TONES = {
    "engaged": ((425,), 0.5, 0.5),
    "ringing": ((425,), 1.0, 4.0),
    "ringing in America": ((440, 480), 2.0, 4.0),
    "engaged in America": ((480, 620), 0.5, 0.5),
    "fax": ((1_100,), 0.5, 3.0),
    "a key": ((770, 1_336), 0.1, 0.4),
}
"""Hertz, and seconds on and off: ITU-T E.180, T.30 and Q.23."""


@pytest.mark.parametrize("name", TONES)
@pytest.mark.parametrize("noise_db", [-80, -45])
def test_a_tone_that_comes_and_goes_is_no_speech(name: str, noise_db: float) -> None:
    tones_hz, on_s, off_s = TONES[name]
    time_s = np.arange(30 * 8_000) / 8_000
    tone = sum(np.sin(2 * np.pi * hz * time_s) for hz in tones_hz) * (time_s % (on_s + off_s) < on_s) * 0.05
    line = (tone + steady_noise(30.0, 0.0, noise_db)).astype(np.float32)
    for heard in (line, mulaw_to_float(float_to_mulaw(line))):
        scored = [window for window in windows_of(heard, [2_000]) if window.speech_s >= Settings().min_speech_s]
        assert scored == []


@pytest.mark.parametrize("pole", [0.0, 0.95])
def test_a_voice_in_noise_is_speech(pole: float) -> None:
    """The noise lies 5 dB under the voice, its pauses included."""
    voice = speech_like(30.0)
    level_db = 20 * np.log10(np.sqrt(np.mean(voice**2))) - 5
    shares = [window.speech_share for window in windows_of(voice + steady_noise(30.0, pole, level_db), [2_000])]
    assert min(shares) > 0.3
