"""`python -m train corpus | fit | export | …`: parses, prints, exits; everything else is in the modules.

TensorFlow, librosa and matplotlib are imported by the command that needs them: the process that makes windows beside the
training starts from this file too.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

for _threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # before numpy: its small products gain nothing from more, and spin

import typer  # noqa: E402

from monitor.errors import CallmoodError  # noqa: E402
from train.options import (  # noqa: E402
    Actors,
    CalibratedLike,
    Calm,
    Codec,
    Cremad,
    Data,
    Each,
    Floor,
    Gain,
    Gate,
    Json,
    Loss,
    MaybeCremad,
    Model,
    Models,
    Noise,
    NoiseFile,
    PredictionsFile,
    Seed,
    Snr,
    Through,
    Work,
)

app = typer.Typer(
    help="From CREMA-D, or from your own recordings, to models/emotion.onnx.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

OurModel = Path("models/emotion.onnx")


def main() -> NoReturn:
    """Exit code 0, or 2 with one line on stderr for every error that has a cure."""
    try:
        code = app(standalone_mode=False)
    except CallmoodError as error:
        _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        _fail("stopped; a training with the same options goes on from its last whole epoch")
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
    cremad: MaybeCremad = None,
    data: Data = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="where the waveforms are drawn")] = Path("build/corpus"),
) -> None:
    """What CREMA-D, or your own recordings, hold: the faults, the balance, the split; a waveform of each emotion."""
    from train import commands

    commands.show_corpus(cremad, data, out)


@app.command()
def fit(
    cremad: MaybeCremad = None,
    data: Data = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            help="a checkpoint to train further: models/checkpoint, or another training's --work",
        ),
    ] = None,
    fold: Annotated[
        int | None, typer.Option(metavar="N", help="leave this fifth of all actors out, 1 to 5, for cross-validation")
    ] = None,
    work: Work = Path("build/model"),
    models: Models = Path("models"),
    teachers: Annotated[
        list[Path] | None,
        typer.Option(
            "--teacher",
            metavar="DIR|FILE",
            help="another training's --work or a model file, as often as you like: what they say is learnt beside what was acted",
        ),
    ] = None,
    channels: Annotated[
        tuple[int, int, int],
        typer.Option(metavar="N N N", help="of the network's stages; one that is trained further keeps its own"),
    ] = (16, 32, 64),
    epochs: Annotated[
        int, typer.Option(min=1, help="times through the clips; the first third of them hears half of each window")
    ] = 100,
    batch: Annotated[int, typer.Option(min=2, help="windows of a step, which go in pairs")] = 32,
    rate: Annotated[float, typer.Option(min=1e-6, max=1.0, help="highest learning rate")] = 2e-3,
    seed: Seed = 1,
    noise: Noise = None,
    with_tuning: Annotated[
        bool,
        typer.Option(
            "--with-tuning",
            help="fit the tuning actors too, when nothing is left to choose; see `export --calibrated-like`",
        ),
    ] = False,
) -> None:
    """Trains the network on the fitted actors, or trains one further; draws the training curve."""
    from train import commands
    from train.batches import Schedule

    schedule = Schedule(epochs=epochs, batch=batch, peak_rate=rate, seed=seed)
    commands.fit_network(
        cremad, data, work, models, noise, schedule, channels, start, fold, teachers or (), with_tuning
    )


@app.command()
def average(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="two or more: each a training's --work, or a models/checkpoint"),
    ],
    work: Annotated[
        Path, typer.Option(metavar="DIR", help="a new folder for the mean, to export or to train further")
    ] = Path("build/average"),
) -> None:
    """The mean of the weights of trainings that began from the same network, as a further checkpoint: steadier than each."""
    from train import commands

    parts = commands.average_trainings(folders, work)["averaged"]
    typer.echo(f"{work}: the mean of\n" + "\n".join(f"  {part}" for part in parts))


@app.command()
def export(
    cremad: MaybeCremad = None,
    data: Data = None,
    work: Work = Path("build/model"),
    models: Models = Path("models"),
    calibrated_like: CalibratedLike = None,
) -> None:
    """Writes emotion.onnx from --work, calibrated on the tuning actors, and the checkpoint for `fit --from`."""
    from train import commands

    meaning = commands.export_model(cremad, data, work, models, calibrated_like).meaning
    typer.echo(f"{models / 'emotion.onnx'}: {meaning.parameters:,} parameters, {meaning.mflop:g} MFLOP a window")


@app.command()
def calibrate(
    cremad: MaybeCremad = None,
    data: Data = None,
    actors: Actors = None,
    model: Model = OurModel,
    calibrated_like: CalibratedLike = None,
    through: Through = None,
) -> None:
    """Fits calibration, baseline, thresholds and moods of a model file anew, on actors that it was not trained on, or on those
    that the models of a cross-validation were not trained on, or takes them over from another file."""
    from train import commands
    from train.measuring import actor_ids

    if calibrated_like and (cremad or data or actors or through):
        raise typer.BadParameter(
            "--calibrated-like takes another file's calibration over: leave --cremad, --data, --actors and --through out"
        )
    if through and actors:
        raise typer.BadParameter("--through says whom to calibrate on: leave --actors out")
    chosen = actor_ids(actors) if actors else None
    meaning = commands.calibrate_file(cremad, data, chosen, model, calibrated_like, through or ()).meaning
    thresholds = f"label {meaning.thresholds.uncertain:.3f}, mood {meaning.thresholds.mood:.3f}"
    fitted = f"temperature {meaning.calibration.temperature:.2f}, neutral {meaning.calibration.neutral_bias:+.2f}"
    typer.echo(f"{model}: {fitted}, thresholds {thresholds}")


@app.command()
def evaluate(
    cremad: MaybeCremad = None,
    data: Data = None,
    actors: Actors = None,
    model: Model = OurModel,
    codec: Codec = "none",
    gate: Gate = False,
    floor: Floor = None,
    snr: Snr = None,
    noise: NoiseFile = None,
    loss: Loss = 0.0,
    gain: Gain = 0.0,
    predictions: PredictionsFile = None,
    calm: Calm = None,
    each: Each = 3,
    models: Annotated[
        Path | None, typer.Option(metavar="DIR", help="where figures and pictures go; by default beside the model")
    ] = None,
    json_output: Json = False,
) -> None:
    """Measures a model by the live path. Actors, an alteration or --json: one figure, nothing is written.

    Otherwise everything about the actors that the model was validated on: evaluation.json, pictures, the model card's
    figures, and the scores inside the model file.
    """
    from monitor.model import EmotionModel
    from train import measuring
    from train.noise import read_noise
    from train.scoring import Condition

    if floor is not None and snr is not None:
        raise typer.BadParameter("--floor gates the pauses, --snr leaves them as they are: give one of them")
    if noise and floor is None and snr is None:
        raise typer.BadParameter("--noise needs --floor or --snr: how far under the speech it lies")
    recorded = read_noise(noise) if noise else None
    condition = Condition(gate, floor, snr, loss / 100.0, gain, codec, recorded)
    ids = measuring.actor_ids(actors) if actors else None
    opened = EmotionModel(model)
    if json_output or ids or predictions or condition != Condition():
        row = measuring.measure(cremad, data, ids, opened, condition, predictions)
        typer.echo(json.dumps(row)) if json_output else _print_figures({"asked": row})
        return
    beside = cremad.resolve().parent / "calls" if cremad else None
    folder = calm or (beside if beside and beside.is_dir() else None)
    found = measuring.report(cremad, data, opened, models or model.parent, folder, each)
    measuring.stamp(found, opened)
    _print_figures(found["conditions"])


@app.command()
def stitch(
    actors: Annotated[
        str, typer.Option("--actors", metavar="IDS|FILE", help="whose clips; a call is always of one actor")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="a new folder for the calls and their labels.csv")],
    cremad: MaybeCremad = None,
    data: Data = None,
    each: Each = 3,
    seed: Seed = 1,
) -> None:
    """Makes pseudo-calls of clips, through pauses, levels and codecs drawn at random, and labels.csv for `calls`."""
    from train import measuring

    counts = measuring.stitch(cremad, data, measuring.actor_ids(actors), out, each, seed)
    typer.echo(f"{out}: {sum(counts.values())} calls: {', '.join(f'{n} {kind}' for kind, n in counts.items())}")


@app.command()
def calls(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="recordings and their labels.csv: call,start_s,end_s,label")
    ],
    model: Model = OurModel,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="a setting, for example score_agent=true")
    ] = None,
    json_output: Json = False,
) -> None:
    """What labelled calls say of alerts, moods and labels, by the live path."""
    from monitor.model import EmotionModel
    from monitor.settings import Settings
    from train import measuring

    found = measuring.measure_calls(folder, EmotionModel(model), Settings.load(overrides=overrides or ()))
    typer.echo(json.dumps(found) if json_output else json.dumps(found, indent=1))


@app.command()
def folds(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="predictions; by default train/experiments/*.csv")
    ] = None,
    json_output: Json = False,
) -> None:
    """Cross-validated figures of every try whose folds' predictions are kept."""
    from train.corpus import CorpusError
    from train.folds import EXPERIMENTS, kept_folds, summaries

    paths = files or kept_folds(EXPERIMENTS)
    if not paths:
        raise CorpusError(f"no predictions in {EXPERIMENTS}, expected some by `python -m train evaluate --predictions`")
    rows = summaries(paths)
    if json_output:
        typer.echo(json.dumps(rows))
        return
    typer.echo(f"{'try':<24}{'folds':>6}{'clips':>7}{'actors':>7}{'uar':>7}{'low':>7}{'high':>7}{'acc':>7}{'ece':>7}")
    for row in rows:
        counts = f"{row['folds']:>6}{row['clips']:>7}{row['actors']:>7}"
        typer.echo(
            f"{row['try']:<24}{counts}{row['uar']:>7.3f}{row['uar_low']:>7.3f}{row['uar_high']:>7.3f}"
            f"{row['accuracy']:>7.3f}{row['ece']:>7.3f}"
        )


@app.command()
def ablations(
    cremad: MaybeCremad = None,
    only: Annotated[str | None, typer.Option(metavar="NAMES", help="these variants, with commas between")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="times through the clips, of every variant alike")] = None,
    work: Work = Path("build/ablations"),
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="where predictions go; by default train/experiments")
    ] = None,
    noise: Noise = None,
    json_output: Json = False,
) -> None:
    """What the article suggests, one by one: short trainings that differ in one thing, judged on the same actors.

    Without --cremad nothing is trained: the table of what was.
    """
    from train.ablations import read_ablations
    from train.corpus import CorpusError
    from train.folds import EXPERIMENTS

    folder = out or EXPERIMENTS
    if cremad:
        from train import commands

        commands.train_ablations(cremad, only, epochs, work, folder, noise)
    found = read_ablations(folder)
    if found is None:
        raise CorpusError(f"no ablations in {folder}, expected at least the default: give --cremad DIR to train them")
    typer.echo(json.dumps(found)) if json_output else _print_ablations(found)


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
    from train import commands

    commands.run_baseline(cremad, models, cache, epochs, seed)


def _print_ablations(found: Mapping[str, Any]) -> None:
    first = next(iter(found["rows"].values()))
    typer.echo(
        f"{found['schedule']['epochs']} epochs each; {first['clips']} clips of {first['actors']} actors, noise 10 dB under"
    )
    typer.echo(f"{'variant':<58}{'uar':>7}{'to the default':>25}{'noisy':>7}{'to the default':>25}")
    for row in found["rows"].values():
        clean, noisy = (f"{row[name]['uar']:>7.3f}{_difference(row[name]):>25}" for name in ("clean", "snr_10"))
        typer.echo(f"{row['words']:<58}{clean}{noisy}")


def _difference(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return ""
    return f"{row['difference']:+.3f} ({row['difference_low']:+.3f}..{row['difference_high']:+.3f})"


def _print_figures(conditions: Mapping[str, Any]) -> None:
    typer.echo(f"{'condition':<14}{'uar':>7}{'low':>7}{'high':>7}{'acc':>7}{'acc_60':>8}{'ece':>7}{'changed':>9}")
    for name, row in conditions.items():
        figures = f"{row['uar']:>7.3f}{row['uar_low']:>7.3f}{row['uar_high']:>7.3f}{row['accuracy']:>7.3f}"
        typer.echo(f"{name:<14}{figures}{row['accuracy_60']:>8.3f}{row['ece']:>7.3f}{row['changed']:>9.3f}")


if __name__ == "__main__":
    main()
