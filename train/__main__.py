"""`python -m train corpus | fit | evaluate | export | baseline`: parses, prints, exits; everything else is in the modules.

TensorFlow, librosa and matplotlib are imported by the command that needs them: the process that makes windows beside the
training starts from this file too.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

for _threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # before numpy: its small products gain nothing from more, and spin

import typer  # noqa: E402

from monitor.errors import CallmoodError  # noqa: E402
from train import commands  # noqa: E402

app = typer.Typer(
    help="From CREMA-D to models/emotion.onnx.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Cremad = Annotated[
    Path, typer.Option("--cremad", metavar="DIR", help="CREMA-D's folder: AudioWAV, VideoDemographics.csv, split.json")
]
Work = Annotated[
    Path, typer.Option(metavar="DIR", help="where the training keeps its network; an interrupted one goes on from here")
]
Models = Annotated[Path, typer.Option(metavar="DIR", help="where figures, pictures and the model go")]
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


def main() -> NoReturn:
    """Exit code 0, or 2 with one line on stderr for every error that has a cure."""
    try:
        code = app(standalone_mode=False)
    except CallmoodError as error:
        _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        _fail("stopped; `fit` with the same options goes on from its last whole epoch")
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        _fail(f"{' '.join(error.format_message().split())}; `python -m train --help` says what there is")
    raise SystemExit(code or 0)


def _fail(text: str) -> NoReturn:
    typer.echo(f"callmood: {text}", err=True)
    raise SystemExit(2)


@app.command()
def corpus(
    cremad: Cremad,
    out: Annotated[Path, typer.Option(metavar="DIR", help="where the waveforms are drawn")] = Path("build/corpus"),
) -> None:
    """What CREMA-D holds: the faults, the table, the balance; a waveform of each emotion."""
    commands.show_corpus(cremad, out)


@app.command()
def fit(
    cremad: Cremad,
    work: Work = Path("build/model"),
    models: Models = Path("models"),
    epochs: Annotated[int, typer.Option(min=1, help="times through the clips")] = 60,
    batch: Annotated[int, typer.Option(min=2, help="windows of a step")] = 32,
    rate: Annotated[float, typer.Option(min=1e-6, max=1.0, help="highest learning rate")] = 2e-3,
    seed: Seed = 1,
    noise: Noise = None,
) -> None:
    """Trains the network on the fitted actors, calibrates it on the tuning actors, draws the training curve."""
    from train.batches import Schedule

    commands.fit_network(cremad, work, models, noise, Schedule(epochs=epochs, batch=batch, peak_rate=rate, seed=seed))


@app.command()
def evaluate(
    cremad: Cremad,
    work: Work = Path("build/model"),
    models: Models = Path("models"),
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="an ONNX file instead of the network in --work")
    ] = None,
    actors: Annotated[
        str | None,
        typer.Option(
            metavar="IDS|FILE", help="actors with commas between, or a file of them, instead of the validation actors"
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Measures the model on the validation actors, clean and through lines and noise; writes evaluation.json and pictures."""
    report = commands.evaluate_model(cremad, work, None if json_output else models, model, actors)
    typer.echo(json.dumps(report)) if json_output else _print_figures(report)


@app.command()
def export(
    cremad: Annotated[
        Path | None, typer.Option("--cremad", metavar="DIR", help="compare Keras and ONNX on clips from here as well")
    ] = None,
    work: Work = Path("build/model"),
    models: Models = Path("models"),
) -> None:
    """Writes emotion.onnx with its meaning inside, from --work and the figures of evaluate."""
    described = commands.export_model(cremad, work, models)
    typer.echo(
        f"{models / 'emotion.onnx'}: {described['parameters']:,} parameters, {described['mflop']} MFLOP a window"
    )


@app.command()
def baseline(
    cremad: Cremad,
    models: Models = Path("models"),
    cache: Annotated[Path, typer.Option(metavar="DIR", help="keeps the coefficients, which take minutes")] = Path(
        "build/baseline"
    ),
    epochs: Annotated[int, typer.Option(min=1, help="times through the clips; the article's are 70")] = 70,
    seed: Seed = 42,
) -> None:
    """The article's recipe, as it stands, under its own random split and under whole actors; side by side with ours."""
    commands.run_baseline(cremad, models, cache, epochs, seed)


def _print_figures(report: Mapping[str, Any]) -> None:
    typer.echo(f"{'condition':<14}{'uar':>7}{'low':>7}{'high':>7}{'acc':>7}{'acc_60':>8}{'ece':>7}{'changed':>9}")
    for name, row in report["conditions"].items():
        figures = f"{row['uar']:>7.3f}{row['uar_low']:>7.3f}{row['uar_high']:>7.3f}{row['accuracy']:>7.3f}"
        typer.echo(f"{name:<14}{figures}{row['accuracy_60']:>8.3f}{row['ece']:>7.3f}{row['changed']:>9.3f}")


if __name__ == "__main__":
    sys.argv[0] = "python -m train"
    main()
