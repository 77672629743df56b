"""The command that makes reports: a page and a picture of a call, pages of many, a day summed up."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from monitor.cli.options import ChannelsOption, ConfigOption, SetOption, load_model, load_settings
from monitor.errors import HistoryError, ReportError, SettingError

if TYPE_CHECKING:
    from rich.progress import Progress

    from monitor.history.archive import Archive, StoredCall
    from monitor.messages import Party
    from monitor.report.day import CallLine
    from monitor.report.facts import CallFacts
    from monitor.report.inputs import Asked
    from monitor.report.sound import Sound
    from monitor.settings import Settings

_Thing = TypeVar("_Thing")

_FOLDER = Path("reports")
"""Of pages, where several are written and none is named."""


def report(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CALL|FILE]...",
            help="calls of the history, by name or id; recordings, or folders of them; messages of `replay --json` (*.jsonl)",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="the page; default: CALL.html")] = None,
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="a picture too, of one call")] = None,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="a page each, and a list of them; default for several: reports")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="sum up a day: 2026-01-31, today, yesterday; or from a time on, or 2h ago"),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="with --since: to the end of that day")] = None,
    sound: Annotated[bool, typer.Option("--sound/--no-sound", help="waveform and spectrogram of recordings")] = True,
    channels: ChannelsOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """A page, and a picture, of a call that is over; or a day summed up."""
    if (since is None) == (not what):
        raise SettingError("report takes calls or recordings, or --since DAY: for example `callmood report call.wav`")
    if until is not None and since is None:
        raise SettingError("--until goes with --since DAY: for example --since yesterday --until today")
    settings = load_settings(config, overrides)
    if since is not None:
        if png is not None:
            raise SettingError("--png draws one call, got --since: name the call instead")
        if out is not None and folder is not None:
            raise SettingError("--out and --folder name two places for the page: give one of them")
        return _sum_up(settings, since, until, out, folder)
    from monitor.report.inputs import sort

    asked = sort(what or [])
    if folder is not None or asked.several:
        if out is not None or png is not None:
            raise SettingError("--out and --png are of one call, several go into --folder DIR, a page each")
        return _many(asked, settings, channels, sound, folder or _FOLDER)
    _one(asked, settings, channels, sound, out, png)


def _one(
    asked: "Asked", settings: "Settings", channels: str | None, sound: bool, out: Path | None, png: Path | None
) -> None:
    """The page of one call, and its picture; of a recording that breaks off, as far as it goes."""
    from monitor.report import files

    if png is not None or (sound and asked.recordings):
        _require_drawing()
    with _progress() as progress:
        told = list(_facts(asked, settings, channels, progress))
        found, faults = [one for one in told if not isinstance(one, str)], [one for one in told if isinstance(one, str)]
        if len(found) != 1:
            raise ReportError(faults[0] if faults else f"{len(found)} calls are in it: name a --folder for their pages")
        facts = found[0]
        progress.drawing(facts.call)
        sounds = _sounds(facts) if sound else {}
        page, picture = _page(facts, sounds), _picture(facts, sounds) if png is not None else b""
    _save(out or Path(files.page_name(facts.call)), page.encode())
    if png is not None:
        _save(png, picture)
    _tell(faults)


def _many(asked: "Asked", settings: "Settings", channels: str | None, sound: bool, folder: Path) -> None:
    """A page each and a list; what cannot be reported is said, and the others go on."""
    from monitor.report import files
    from monitor.report.day import line_of
    from monitor.report.day_page import index_page

    if sound and asked.recordings:
        _require_drawing()
    files.make_folder(folder)
    lines: dict[str, CallLine] = {}
    faults: list[str] = []
    with _progress() as progress:
        for facts in _facts(asked, settings, channels, progress):
            if isinstance(facts, str):
                faults.append(facts)
                continue
            progress.drawing(facts.call)
            name = files.page_name(facts.call, lines)
            lines[name] = line_of(facts)
            page = _page(facts, _sounds(facts) if sound else {}, back=files.index_in(folder).name)
            files.write(folder / name, page.encode())
    if lines:
        heading = "Calls" if len(lines) > 1 else "A call"
        listed = [(line, _address(name)) for name, line in lines.items()]
        _save(files.index_in(folder), index_page(heading, listed, _now()).encode())
    _tell(faults)


def _sum_up(settings: "Settings", since: str, until: str | None, out: Path | None, folder: Path | None) -> None:
    """A page about the calls of a day; with a folder also one about each of the worst."""
    from datetime import datetime

    from monitor.history.archive import Archive
    from monitor.history.database import path_of
    from monitor.report import files
    from monitor.report.day import day_facts
    from monitor.report.day_page import day_page
    from monitor.report.facts import alerts_in
    from monitor.report.span import span

    asked = span(since, until, datetime.now().astimezone())
    pages: dict[str, str] = {}
    with Archive(path_of(settings.history)) as archive, _progress() as progress:
        stored = archive.calls(asked.since.timestamp(), asked.until.timestamp())
        alerting = progress.over("reading alerts", [call for call in stored if call.alerts])
        day = day_facts(stored, {call.id: alerts_in(archive.messages(call.id)) for call in alerting}, asked)
        if folder is not None:
            worst = {line.id for line in day.worst}
            pages = _pages_of(archive, [call for call in stored if call.id in worst], folder)
    target = files.index_in(folder) if folder else out or Path(f"calls-{asked.since:%Y-%m-%d}.html")
    _save(target, day_page(day, _now(), pages).encode())


def _pages_of(archive: "Archive", calls: "Sequence[StoredCall]", folder: Path) -> dict[str, str]:
    """Pages of stored calls, in `folder`; id → address from there. One of which no reading was stored has none."""
    from monitor.report import files
    from monitor.report.inputs import from_history

    files.make_folder(folder)
    names: dict[str, str] = {}
    for call in calls:
        try:
            facts = from_history(archive, call)
        except ReportError:
            continue
        names[call.id] = files.page_name(facts.call, names.values())
        files.write(folder / names[call.id], _page(facts, {}, back=files.index_in(folder).name).encode())
    return {id_: _address(name) for id_, name in names.items()}


def _facts(
    asked: "Asked", settings: "Settings", channels: str | None, progress: "_Progress"
) -> "Iterator[CallFacts | str]":
    """What there is to report, in the order of recordings, messages and the history; as text, what cannot be."""
    from monitor.report import inputs
    from monitor.sources.recording import parse_channels

    if asked.recordings:
        parties = parse_channels(channels) if channels else None
        heard = progress.of_seconds(inputs.length_s(asked.recordings))
        yield from inputs.from_recordings(asked.recordings, settings, load_model(settings), parties, heard)
    for path in asked.lines:
        yield from _or_fault(partial(inputs.from_lines, path))
    if asked.calls:
        from monitor.history.database import path_of

        with inputs.opened(path_of(settings.history), asked.calls) as archive:
            for name in asked.calls:
                yield from _or_fault(partial(inputs.from_name, archive, name))


def _or_fault(read: "Callable[[], Sequence[CallFacts | str]]") -> "Sequence[CallFacts | str]":
    try:
        return read()
    except (ReportError, HistoryError) as error:
        return [str(error)]


def _sounds(facts: "CallFacts") -> "dict[Party, Sound]":
    """What the recording holds that a call was read from; nothing of other calls."""
    from monitor.report.sound import sounds

    if facts.origin.kind != "recording" or facts.source != "recording" or facts.path is None:
        return {}
    channels = {party.party: party.channel for party in facts.parties if party.channel is not None}
    return sounds(facts.path, channels, facts.duration_s)


def _page(facts: "CallFacts", sounds: "dict[Party, Sound]", back: str | None = None) -> str:
    from monitor.report.call_page import call_page

    if not sounds:
        return call_page(facts, _now(), back=back)
    from monitor.report.drawing import sound_pictures

    return call_page(facts, _now(), sound_pictures(facts, sounds), back)


def _picture(facts: "CallFacts", sounds: "dict[Party, Sound]") -> bytes:
    from monitor.report.poster import picture

    return picture(facts, sounds)


def _tell(faults: Sequence[str]) -> None:
    """What could not be reported, a line each; then the exit code says so."""
    for fault in faults:
        typer.echo(f"callmood: {fault}", err=True)
    if faults:
        raise typer.Exit(2)


def _require_drawing() -> None:
    from monitor.report.drawing import require_drawing

    require_drawing()


def _save(path: Path, content: bytes) -> None:
    from monitor.report import files

    files.write(path, content)
    typer.echo(f"wrote {path}")


def _address(name: str) -> str:
    from urllib.parse import quote

    return quote(name)


def _now() -> str:
    import time

    from monitor.messages import rfc3339
    from monitor.report.call_page import moment

    return moment(rfc3339(time.time()))


class _Progress:
    """What is done of long work, on stderr, where that is a terminal."""

    def __init__(self, bar: "Progress") -> None:
        self._bar = bar
        self._task = bar.add_task("reading", total=None)

    def of_seconds(self, total_s: float) -> "Callable[[float], None]":
        """Told of seconds of recordings that were heard."""
        self._bar.update(self._task, description="listening", total=total_s or None)
        return lambda seconds: self._bar.update(self._task, description="listening", advance=seconds)

    def over(self, what: str, things: "Sequence[_Thing]") -> "Iterator[_Thing]":
        """`things`, one after the other."""
        self._bar.update(self._task, description=what, total=len(things))
        for thing in things:
            yield thing
            self._bar.advance(self._task)

    def drawing(self, call: str) -> None:
        """What comes now takes some seconds."""
        from monitor.dashboard.looks import fit, plain

        self._bar.update(self._task, description=f"drawing {fit(plain(call), min(24, len(call)))}")


@contextmanager
def _progress() -> Iterator[_Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(
        *columns, console=console, transient=True, redirect_stdout=False, disable=not sys.stderr.isatty()
    ) as bar:
        yield _Progress(bar)
