"""The command that makes reports: a page and a picture of a call, pages of many, a day summed up."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli.options import ChannelsOption, ConfigOption, SetOption, load_model, load_settings
from monitor.errors import ReportError, SettingError

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
        str | None, typer.Option(metavar="DAY", help="sum up a day: 2026-01-31, today, yesterday, or from a time on")
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


def _one(asked: Any, settings: Any, channels: str | None, sound: bool, out: Path | None, png: Path | None) -> None:
    from monitor.report import files

    if png is not None or (sound and asked.recordings):
        _require_drawing()
    with _progress() as progress:
        found = list(_facts(asked, settings, channels, progress))
        for fault in (one for one in found if isinstance(one, str)):
            raise ReportError(fault)
        if len(found) > 1:
            raise ReportError(f"{len(found)} calls are in it: name a --folder for their pages")
        (facts,) = found
        progress.drawing()
        sounds = _sounds(facts) if sound else {}
        _save(out or Path(files.page_name(facts.call)), _page(facts, sounds).encode())
        if png is not None:
            from monitor.report.poster import picture

            _save(png, picture(facts, sounds))


def _many(asked: Any, settings: Any, channels: str | None, sound: bool, folder: Path) -> None:
    """A page each and a list; what cannot be reported is said, and the others go on."""
    from monitor.report import files
    from monitor.report.day import line_of
    from monitor.report.day_page import index_page

    if sound and asked.recordings:
        _require_drawing()
    files.make_folder(folder)
    lines: dict[str, Any] = {}
    faults = []
    with _progress() as progress:
        for facts in _facts(asked, settings, channels, progress):
            if isinstance(facts, str):
                faults.append(facts)
                continue
            name = files.page_name(facts.call, lines)
            lines[name] = line_of(facts)
            page = _page(facts, _sounds(facts) if sound else {}, back=files.index_in(folder).name)
            files.write(folder / name, page.encode())
    for fault in faults:
        typer.echo(f"callmood: {fault}", err=True)
    if lines:
        heading = "Calls" if len(lines) > 1 else "A call"
        listed = [(line, _address(name)) for name, line in lines.items()]
        _save(files.index_in(folder), index_page(heading, listed, _now()).encode())
    if faults:
        raise typer.Exit(2)


def _sum_up(settings: Any, since: str, until: str | None, out: Path | None, folder: Path | None) -> None:
    """A page about the calls of a day; with a folder also one about each of the worst."""
    from datetime import datetime

    from monitor.archive import Archive
    from monitor.database import path_of
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


def _pages_of(archive: Any, calls: Sequence[Any], folder: Path) -> dict[str, str]:
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


def _facts(asked: Any, settings: Any, channels: str | None, progress: "_Progress") -> Iterator[Any]:
    """What there is to report, in the order of recordings, messages and the history; as text, what cannot be."""
    from monitor.report import inputs
    from monitor.sources.recording import parse_channels

    if asked.recordings:
        parties = parse_channels(channels) if channels else None
        heard = progress.of_seconds(inputs.length_s(asked.recordings))
        yield from inputs.from_recordings(asked.recordings, settings, load_model(settings), parties, heard)
    for path in asked.lines:
        yield from _or_fault(lambda path=path: inputs.from_lines(path))
    if asked.calls:
        from monitor.database import path_of

        with inputs.opened(path_of(settings.history), asked.calls) as archive:
            for name in asked.calls:
                yield from _or_fault(lambda name=name: [inputs.from_history(archive, inputs.stored(archive, name))])


def _or_fault(read: Any) -> list[Any]:
    from monitor.errors import HistoryError

    try:
        facts: list[Any] = read()
    except (ReportError, HistoryError) as error:
        return [str(error)]
    return facts


def _sounds(facts: Any) -> dict[Any, Any]:
    """What the recording holds that a call was read from; nothing of other calls."""
    from monitor.report.sound import sounds

    if facts.origin.kind != "recording" or facts.path is None:
        return {}
    channels = {party.party: party.channel for party in facts.parties if party.channel is not None}
    return dict(sounds(facts.path, channels, facts.duration_s))


def _page(facts: Any, sounds: dict[Any, Any], back: str | None = None) -> str:
    from monitor.report.call_page import call_page

    pictures: Sequence[Any] = ()
    if sounds:
        from monitor.report.drawing import sound_pictures

        pictures = sound_pictures(facts, sounds)
    return call_page(facts, _now(), pictures, back)


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

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def of_seconds(self, total_s: float) -> Any:
        """Told of seconds of recordings that were heard."""
        task = self._bar.add_task("listening", total=total_s or None)
        return lambda seconds: self._bar.advance(task, seconds)

    def over(self, what: str, things: Sequence[Any]) -> Iterator[Any]:
        """`things`, one after the other."""
        yield from self._bar.track(things, description=what)

    def drawing(self) -> None:
        """What comes now takes some seconds."""
        self._bar.add_task("drawing", total=None)


@contextmanager
def _progress() -> Iterator[_Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        yield _Progress(bar)
