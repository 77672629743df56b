"""Waveforms and spectrograms by librosa's display, over matplotlib: the extra `report`. Sound → PNG."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from monitor import __version__
from monitor.audio import SAMPLE_RATE
from monitor.errors import ReportError
from monitor.features import FRAME_HOP, HIGH_HZ, LOW_HZ
from monitor.messages import Party
from monitor.report.call_page import SoundPicture
from monitor.report.facts import CallFacts
from monitor.report.sound import Sound

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WAVE = "#5b8db8"
"""Seen on white and on black."""
_DPI = 100
_LOUDNESS = (
    (0.0, (0.36, 0.55, 0.72, 0.0)),
    (0.45, (0.38, 0.47, 0.75, 0.55)),
    (0.75, (0.74, 0.29, 0.50, 0.95)),
    (1.0, (0.95, 0.56, 0.16, 1.0)),
)
"""Of a spectrogram, from silent, which is the paper's own colour, to loud: RGBA."""


def require_drawing() -> None:
    """Raises ReportError where the extra is not installed."""
    try:
        import librosa.display  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ReportError(
            f"pictures and sound need the extra report ({error.name} is missing): pip install 'callmood[report]', or "
            "--no-sound and no --png for the page without them"
        ) from error


def sound_pictures(facts: CallFacts, sounds: Mapping[Party, Sound]) -> list[SoundPicture]:
    """Waveforms of all parties, and a spectrogram of each that was scored, edge to edge."""
    return [
        SoundPicture(
            party.party,
            _bare(lambda axes, sound=sounds[party.party]: waveform(axes, sound), 1_400, 116),
            _bare(lambda axes, sound=sounds[party.party]: spectrogram(axes, sound), 1_400, 300)
            if party.scored
            else None,
        )
        for party in facts.parties
        if party.party in sounds
    ]


def _bare(draw: Any, width: int, height: int) -> bytes:
    """A picture of axes that fill it, on nothing."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    draw(axes)
    axes.set_axis_off()
    return png_of(figure, transparent=True)


def waveform(axes: "Axes", sound: Sound) -> None:
    """librosa's waveform of the envelope: its lowest and highest samples in turn."""
    import librosa.display

    envelope = np.stack([sound.low, sound.high], axis=1).ravel()
    librosa.display.waveshow(
        envelope, sr=2 * len(sound.low) / sound.duration_s, ax=axes, color=_WAVE, max_points=envelope.size + 1
    )
    loudest = max(0.05, float(np.abs(envelope).max()))
    axes.set(xlim=(0, sound.duration_s), ylim=(-loudest, loudest), xlabel="")


def spectrogram(axes: "Axes", sound: Sound) -> None:
    import librosa.display
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("loudness", _LOUDNESS)
    columns = sound.mel_db.shape[1]
    middles_s = (np.arange(columns) + 0.5) * sound.duration_s / columns
    librosa.display.specshow(
        sound.mel_db, x_coords=middles_s, sr=SAMPLE_RATE, hop_length=FRAME_HOP, y_axis="mel", fmin=LOW_HZ, fmax=HIGH_HZ,
        ax=axes, cmap=colours,
    )  # fmt: skip
    axes.set(xlim=(0, sound.duration_s), xlabel="")


def png_of(figure: "Figure", transparent: bool = False) -> bytes:
    """`figure` as PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", transparent=transparent, metadata={"Software": f"callmood {__version__}"})
    return file.getvalue()
