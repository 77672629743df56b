"""What other ways cost, in processor time and in the same run: librosa a window, the libraries that ours rests on alone, and the
machine's own matrix product."""

import time
from collections.abc import Callable
from typing import Any

import _webrtcvad
import numpy as np

from monitor.audio import SAMPLE_RATE, Samples, float_to_pcm
from monitor.bench.stages import Cost
from monitor.features import BANDS, FRAME, FRAME_HOP, LEAD
from monitor.model import BATCH_CELLS, HOP_CELLS, WINDOW_CELLS, Batch, EmotionModel, Stream
from monitor.settings import Settings
from monitor.speech import VAD_FRAME, SpeechDetector
from monitor.windows import CELL_FRAMES

_MATRIX = 512
"""Rows and columns of the matrices that are multiplied: they fit the cache, and are large enough for full speed."""

_FRAMES = 256
"""That are transformed together: what comes between stays in the cache."""


def least_ms(work: Callable[[], object], seconds: float) -> float:
    """Processor milliseconds of `work`, the least of many times within so many seconds, the first not counted."""
    work()
    least_s, ends_s = float("inf"), time.monotonic() + seconds
    while time.monotonic() < ends_s:
        began_s = time.process_time()
        work()
        least_s = min(least_s, time.process_time() - began_s)
    return 1000 * least_s


def arithmetic(model: EmotionModel, seconds: float = 2.0) -> dict[str, Any]:
    """GFLOP that a second of one processor yields: in the network, of windows half a second after each other, and in numpy's
    float32 matrix product."""
    count = BATCH_CELLS // HOP_CELLS
    streams = [Stream() for _ in range(count)]
    whole = np.zeros((count, model.meaning.features.frames, BANDS), np.float32)
    places = np.arange(count)[:, None]
    model.run(Batch(places, streams, (WINDOW_CELLS,), whole))
    later = Batch(places, streams, (HOP_CELLS,), whole[:, : HOP_CELLS * CELL_FRAMES].copy())
    network_ms = least_ms(lambda: model.run(later), seconds) / count
    left, right = np.random.default_rng(0).random((2, _MATRIX, _MATRIX), np.float32)
    matrix_ms = least_ms(lambda: left @ right, seconds)
    network, matrix = model.meaning.mflop / network_ms, 2 * _MATRIX**3 / 1e6 / matrix_ms
    return {
        "network_ms_per_window": round(network_ms, 3),
        "network_gflop_per_cpu_s": round(network, 1),
        "matrix_product_gflop_per_cpu_s": round(matrix, 1),
        "network_over_matrix_product": round(network / matrix, 2),
    }


def against_librosa(cost: Cost, loop: Samples, settings: Settings, seconds: float = 2.0) -> dict[str, Any]:
    """Features and voice activity of a window: librosa's over the whole window, ours over what is new in it, and what of ours two
    libraries take alone, WebRTC's detector and numpy's transform: the least that any way through them can cost.

    librosa's times are None where it is not installed (extra `report`).
    """
    ours_ms = (cost.stages_ms["features"] + cost.stages_ms["voice activity"]) * settings.hop_s
    theirs_ms = _librosa_ms(np.ascontiguousarray(loop[: 3 * SAMPLE_RATE]), seconds)
    libraries_ms = _libraries_ms(loop, seconds) * settings.hop_s / (loop.size / SAMPLE_RATE)
    return {
        "features_and_voice_activity_ms_per_window": round(ours_ms, 3),
        "of_which_webrtc_and_fft_alone_ms": round(libraries_ms, 3),
        "librosa_ms_per_window": None if theirs_ms is None else round(theirs_ms, 3),
        "librosa_over_ours": None if theirs_ms is None else round(theirs_ms / ours_ms, 1),
    }


def against_naive(model: EmotionModel, cost: Cost, loop: Samples, seconds: float = 5.0) -> dict[str, Any]:
    """Processor milliseconds a scored window: the whole line, and librosa with one run of the same network a window.

    Its times are None where librosa is not installed (extra `report`).
    """
    ours_ms, naive_ms = cost.whole_ms / cost.scored_windows_per_s, _naive_ms(model, loop, seconds)
    return {
        "line_ms_per_window": round(ours_ms, 2),
        "naive_ms_per_window": None if naive_ms is None else round(naive_ms, 2),
        "naive_over_line": None if naive_ms is None else round(naive_ms / ours_ms, 2),
    }


def _libraries_ms(voice: Samples, seconds: float) -> float:
    """Of all of the voice."""
    frames = np.lib.stride_tricks.sliding_window_view(voice, FRAME)[::FRAME_HOP]
    some = [np.ascontiguousarray(frames[at : at + _FRAMES]) for at in range(0, len(frames), _FRAMES)]
    pcm = float_to_pcm(voice[: voice.size // VAD_FRAME * VAD_FRAME]).reshape(-1, VAD_FRAME)
    heard, vad = [frame.tobytes() for frame in pcm], SpeechDetector().vad

    def work() -> None:
        for part in some:
            np.fft.rfft(part, norm="forward")
        for frame in heard:
            _webrtcvad.process(vad, SAMPLE_RATE, frame, VAD_FRAME)

    return least_ms(work, seconds)


def _librosa_ms(window: Samples, seconds: float) -> float | None:
    try:
        import librosa
    except ImportError:
        return None

    def hear() -> None:
        librosa.power_to_db(_melspectrogram(librosa, window))
        librosa.effects.split(window, frame_length=512, hop_length=160)

    return least_ms(hear, seconds)


def _naive_ms(model: EmotionModel, loop: Samples, seconds: float) -> float | None:
    try:
        import librosa
    except ImportError:
        return None
    window = np.ascontiguousarray(loop[: 3 * SAMPLE_RATE])
    window = np.concatenate([np.zeros(LEAD, np.float32), window])
    return least_ms(
        lambda: model.calibrated(model.predict(model.read(_melspectrogram(librosa, window).T[None]))), seconds
    )


def _melspectrogram(librosa: Any, window: Samples) -> Samples:
    """(64, frames) as `monitor.features` makes it."""
    power: Samples = librosa.feature.melspectrogram(
        y=window, sr=SAMPLE_RATE, n_fft=512, hop_length=125, center=False, n_mels=64, fmin=60.0, fmax=3_900.0
    )
    return power
