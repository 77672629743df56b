"""The options that commands share, and those of `evaluate`: what they are called and what they say of themselves."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Cremad = Annotated[
    Path, typer.Option("--cremad", metavar="DIR", help="CREMA-D's folder: AudioWAV, VideoDemographics.csv, split.json")
]
MaybeCremad = Annotated[
    Path | None,
    typer.Option("--cremad", metavar="DIR", help="CREMA-D's folder; of it only AudioWAV is needed to measure"),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="LABELS.csv",
        help="your own recordings instead: path, speaker, label, and if you like start, end (seconds), party",
    ),
]
Actors = Annotated[
    str | None, typer.Option("--actors", metavar="IDS|FILE", help="actors with commas between, or a file of them")
]
Work = Annotated[
    Path, typer.Option(metavar="DIR", help="where the training keeps its network; an interrupted one goes on from here")
]
Models = Annotated[Path, typer.Option(metavar="DIR", help="where figures, pictures and the model go")]
CalibratedLike = Annotated[
    Path | None,
    typer.Option(
        "--calibrated-like",
        metavar="FILE",
        help="takes over calibration, baseline, thresholds and moods of a model of the same recipe, trained without the tuning "
        "actors, for one that was trained with them",
    ),
]
Through = Annotated[
    list[Path] | None,
    typer.Option(
        "--through",
        metavar="FILE",
        help="a fold's model of the same recipe, once a fold: calibrates on what each says of the actors it was validated on",
    ),
]
Model = Annotated[Path, typer.Option("--model", metavar="FILE", help="the model file")]
Seed = Annotated[int, typer.Option(min=0, help="of everything random")]
Noise = Annotated[
    Path | None,
    typer.Option(
        "--noise",
        metavar="DIR",
        help="recorded noise to train with; by default the folder `noise` beside CREMA-D, where there is one",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")]
Each = Annotated[int, typer.Option(min=1, max=1000, help="calls of every kind of every actor")]
Codec = Annotated[Literal["none", "mulaw", "alaw"], typer.Option(help="through G.711, every clip at -26 dBFS RMS")]
Gate = Annotated[bool, typer.Option("--gate", help="digital silence in the pauses")]
Floor = Annotated[
    float | None, typer.Option(metavar="DB", min=-40.0, max=80.0, help="gated, then noise so far under the speech")
]
Snr = Annotated[
    float | None,
    typer.Option(metavar="DB", min=-40.0, max=80.0, help="noise so far under the speech of the clip as it is"),
]
NoiseFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="recorded noise; seeded pink noise where none is named")
]
Loss = Annotated[float, typer.Option(metavar="PERCENT", min=0.0, max=100.0, help="20 ms packets dropped at random")]
Gain = Annotated[float, typer.Option(metavar="DB", min=-60.0, max=60.0, help="louder or softer")]
PredictionsFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="write every clip's label and scores, for `folds`")
]
Calm = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="recordings in which nobody is angry; by default the folder `calls` beside CREMA-D, where there is one",
    ),
]
