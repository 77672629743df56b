"""Commands about calls that are over: which there were, all of what was told of them, and their deletion."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.options import ConfigOption, SetOption, load_settings
from monitor.errors import HistoryError, SettingError
from monitor.settings import Settings

if TYPE_CHECKING:
    from monitor.history.archive import Archive, StoredCall

SinceOption = Annotated[
    str | None, typer.Option(metavar="WHEN", help="that began then or later: 2026-11-24, 2026-11-24T09:30, 2h, 7d")
]
UntilOption = Annotated[str | None, typer.Option(metavar="WHEN", help="that began before")]
CallArgument = Annotated[str | None, typer.Argument(metavar="CALL", help="its id, or its name where no other has it")]


def calls(
    since: SinceOption = None,
    until: UntilOption = None,
    outcome: Annotated[
        str | None, typer.Option(help="only with this one: satisfied, dissatisfied, angry, calm or unclear")
    ] = None,
    alert: Annotated[str | None, typer.Option(metavar="RULE", help="only where this rule raised an alert")] = None,
    agent: Annotated[str | None, typer.Option(metavar="ID", help="only of this agent")] = None,
    limit: Annotated[int, typer.Option(min=0, help="so many at most, the last that began; 0: all")] = 100,
    json: Annotated[bool, typer.Option("--json", help="print one JSON object a line")] = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """Calls of the history, the last first."""
    from monitor.history.listing import as_json, listed
    from monitor.messages import MOODS

    if outcome is not None and outcome not in MOODS:
        raise SettingError(f"--outcome must be one of {', '.join(MOODS)}, got {outcome!r}")
    settings = load_settings(config, overrides)
    with _archive(settings) as archive:
        agents = () if agent is None else _as_shown(archive.path, agent)
        begins_s, ends_s = _moment(since, "--since"), _moment(until, "--until")
        found = archive.calls(begins_s, ends_s, outcome, alert, limit + 1 if limit else None, agents)
    shown = found[:limit] if limit else found
    for line in as_json(shown) if json else listed(shown):
        typer.echo(line)
    if len(found) > len(shown):
        typer.echo(f"callmood: there are more: see --since, --until and --limit {2 * limit}", err=True)


def export(
    call: CallArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    format: Annotated[str, typer.Option(help="csv, or json: one message a line")] = "csv",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="mode 0600; default: print it")] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """Everything that was told of a call, or of all that began since a time."""
    from monitor.history.export import header, lines

    if format not in ("csv", "json"):
        raise SettingError(f"--format must be csv or json, got {format!r}")
    kind: Any = format
    _check_choice(call, since is not None or until is not None, "--since and --until")
    with _archive(load_settings(config, overrides)) as archive:
        begins_s, ends_s = _moment(since, "--since"), _moment(until, "--until")
        wanted = archive.calls(begins_s, ends_s) if call is None else [archive.call(call)]
        with _written(out) as write:
            write(header(kind))
            for one in _progress(wanted[::-1]):
                write("".join(lines(kind, one, archive.messages_of(one))))


def forget(
    call: CallArgument = None,
    before: Annotated[str | None, typer.Option(metavar="WHEN", help="every call that began before")] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """Delete a call, or all older ones, for good: from the history, and from the memory of a server that is running."""
    from monitor.audit import Audit
    from monitor.history.erasure import check_ended
    from monitor.history.erasure import forget as erase

    _check_choice(call, before is not None, "--before WHEN")
    settings = load_settings(config, overrides)
    audit = Audit(Path(settings.audit_log) if settings.audit_log else None)
    with _archive(settings) as archive:
        wanted = archive.calls(until_s=_moment(before, "--before")) if call is None else [archive.call(call)]
    gone = [one for one in wanted if one.state != "running"] if call is None else wanted
    check_ended(gone)
    _forget_webhooks(settings, gone)  # first: while the history names them, a fault of either can be tried again
    still_there = erase(archive.path, gone)
    audit.note("forgotten", calls=len(gone), **({} if before is None else {"before": before}))
    audit.close()
    if gone and not audit.private:
        unnoted = "no audit_log is set: that something was forgotten stands in no file, only --verbose logs it"
        typer.echo(f"callmood: {unnoted}", err=True)
    if still_there:
        raise HistoryError(still_there)
    typer.echo(f"forgotten: {len(gone)} call{'' if len(gone) == 1 else 's'}")
    if running := len(wanted) - len(gone):
        typer.echo(f"callmood: {running} more are running: forget them when they have ended", err=True)


def _check_choice(call: str | None, spans: bool, options: str) -> None:
    """Raises SettingError unless either a call is named, or a span of time. An empty name is none: it never means all."""
    if call is not None and not call.strip():
        raise SettingError(
            f"CALL is empty, expected an id or a name, or {options}: `callmood calls` lists what there is"
        )
    if (call is None) != spans:
        raise SettingError(f"name one CALL, or {options}: `callmood calls` lists what there is")


def _archive(settings: Settings) -> "Archive":
    from monitor.history.archive import Archive
    from monitor.history.database import path_of

    return Archive(path_of(settings.history))


def _moment(text: str | None, option: str) -> float | None:
    from monitor.history.period import moment

    return None if text is None else moment(text, time.time(), option)


def _as_shown(history: Path, agent: str) -> tuple[str, ...]:
    """An agent's id as calls of the history may name it: as it is, or as its pseudonym."""
    from monitor.history.lasting_key import key_path, lasting_key
    from monitor.identities import Identities

    key = lasting_key(history) if key_path(history).exists() else None
    return (agent, Identities(False, key).shown(agent))


def _forget_webhooks(settings: Settings, gone: "Sequence[StoredCall]") -> None:
    """What waits to be posted of these calls."""
    from monitor.settings import WebhookSettings
    from monitor.webhooks.files import queue_path
    from monitor.webhooks.queue import forget

    forget(queue_path(settings.webhooks or WebhookSettings()), [one.key for one in gone])


@contextmanager
def _written(out: Path | None) -> Iterator[Any]:
    """Where an export goes: a file is there when all of it is written. Raises HistoryError where that cannot be written."""
    if out is None:
        yield sys.stdout.write
        sys.stdout.flush()
        return
    from monitor.replacement import replacing

    try:
        with replacing(out) as file:
            yield lambda text: file.write(text.encode())
    except OSError as error:
        raise HistoryError(f"{out}: cannot write the export: {error.strerror}") from error


def _progress(wanted: "Sequence[StoredCall]") -> "Iterator[StoredCall]":
    """The calls, with a bar on stderr that counts their messages, where that is a terminal and there are several."""
    from rich.console import Console
    from rich.progress import Progress

    if len(wanted) < 2 or not sys.stderr.isatty():
        yield from wanted
        return
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("export", total=sum(one.last_seq or 1 for one in wanted))
        for one in wanted:
            yield one
            progress.advance(task, one.last_seq or 1)
