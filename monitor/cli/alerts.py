"""`callmood alerts`: the rules that come with callmood, and what rules would have done on calls."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli.console import one_line
from monitor.cli.options import ChannelsOption, ConfigOption, SetOption, load_model, load_settings
from monitor.settings import Settings

_SQLITE = b"SQLite format 3\0"
_LINES = (".jsonl", ".ndjson", ".json")

app = typer.Typer(
    help="When an alert is raised: the rules, and what they would have done on your calls.",
    rich_markup_mode=None,
)


@app.command()
def rules() -> None:
    """The rules that come with callmood, as commented TOML to start from."""
    from monitor.alerts.rulefile import DEFAULT_FILE

    typer.echo(DEFAULT_FILE.read_text(encoding="utf-8"), nl=False)


@app.command("try")
def try_(
    rules: Annotated[
        str, typer.Argument(metavar="RULES", help="a TOML file, or `default`: those that come with callmood")
    ],
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="recordings, folders of them, captures; a history (.db); messages that `replay --json` printed (.jsonl)",
        ),
    ],
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV, call,start_s,end_s,label: what is heard on the customer")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0.0, max=60.0, help="seconds after a labelled stretch in which an alert is still right")
    ] = 5.0,
    channels: ChannelsOption = None,
    json: Annotated[bool, typer.Option("--json", help="print the result as one JSON object")] = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """What rules would have done on calls: what is raised when, how often, and how well it fits labels."""
    from monitor.alerts.rulefile import load_rules
    from monitor.alerts.stretches import read_stretches
    from monitor.alerts.trial import Trial

    path = "" if rules == "default" else rules
    settings = replace(load_settings(config, overrides), alert_rules=path)
    trial = Trial(load_rules(path), settings.smooth_s, settings.hop_s)
    stretches = read_stretches(labels) if labels else {}
    faults = [*_hear_all(trial, paths, channels, settings)]
    if labels:
        faults += _strangers(trial, stretches, labels)
    _print(trial, stretches, tolerance, json)
    for fault in faults:
        typer.echo(f"callmood: {one_line(fault)}", err=True)
    if faults:
        raise typer.Exit(2)


def _hear_all(trial: Any, paths: Sequence[Path], channels: str | None, settings: Settings) -> Iterator[str]:
    """Takes every path to the trial, with a bar on a terminal; yields what could not be heard."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from monitor.messages import CallEnded, Error

    columns = (SpinnerColumn(), TextColumn("calls heard"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        for calls, messages in _sources(paths, channels, settings):
            heard = bar.add_task("", total=calls)
            with closing(messages):
                for message in messages:
                    trial.hear(message)
                    if isinstance(message, CallEnded | Error):
                        bar.advance(heard)
                    if isinstance(message, Error):
                        yield message.text
            trial.end()


def _sources(paths: Sequence[Path], channels: str | None, settings: Settings) -> Iterator[tuple[int | None, Any]]:
    """Messages of every source of calls, and how many calls are to come, where that is known: the recordings first."""
    from monitor.alerts.lines import read_lines
    from monitor.sources.recording import count_recordings

    histories = [path for path in paths if _is_history(path)]
    printed = [path for path in paths if path.suffix.lower() in _LINES]
    recordings = [path for path in paths if path not in histories and path not in printed]
    if recordings:
        yield count_recordings(recordings), _played(recordings, channels, settings)
    for path in printed:
        yield None, read_lines(path)
    for path in histories:
        yield None, _stored(path)


def _played(paths: Sequence[Path], channels: str | None, settings: Settings) -> Iterator[Any]:
    from monitor.playback import played
    from monitor.sources.recording import parse_channels

    return played(paths, settings, load_model(settings), parse_channels(channels) if channels else None)


def _is_history(path: Path) -> bool:
    """Whether a file begins like an SQLite database, or is named like one."""
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return path.suffix == ".db"


def _stored(path: Path) -> Iterator[Any]:
    """The messages of every call of a history, the first call first."""
    from monitor.history.archive import Archive

    with Archive(path) as archive:
        for call in reversed(archive.calls()):
            yield from archive.messages(call.id)


def _strangers(trial: Any, stretches: Iterable[str], labels: Path) -> list[str]:
    """What is wrong between labels and calls."""
    unknown = [call for call in stretches if call not in trial.durations_s]
    if not unknown:
        return []
    some = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
    heard = ", ".join(list(trial.durations_s)[:5]) or "none"
    return [f"{labels}: no call {some} was heard, only {heard}: a recording's call is its file name without the ending"]


def _print(trial: Any, stretches: Any, tolerance_s: float, json: bool) -> None:
    from monitor.alerts import verdicts
    from monitor.alerts.trial import fits

    results = fits(trial, stretches, tolerance_s)
    if json:
        from msgspec.json import encode

        typer.echo(encode(verdicts.as_json(trial, results, set(stretches))).decode())
        return
    for line in verdicts.lines(trial, results, set(stretches)):
        typer.echo(line)
