"""Commands that listen to calls: the demo, recordings, a microphone, telephone systems, another server."""

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.allocator import give_back
from monitor.cli.console import has_screen, one_line, print_event, print_json, print_line
from monitor.cli.options import (
    AgentOption,
    AsOption,
    ChannelsOption,
    ConfigOption,
    JsonOption,
    PortOption,
    SetOption,
    example_calls,
    load_model,
    load_settings,
    own_name,
)
from monitor.errors import HistoryError, SettingError
from monitor.settings import Settings

_log = logging.getLogger(__name__)

_FIRST_AGENT = 101
"""The id of the first agent of the demo; the others follow."""
_DEMO_AGENT = 102
"""The one whose caller gets angry."""
_DEMO_HOURS = 1.0
"""How long the demo's token is good."""


def demo(
    port: PortOption = None,
    pace: Annotated[str, typer.Option(help="live or fast")] = "live",
    name: AsOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """The example calls, live, with dashboard and websocket."""
    settings = load_settings(config, overrides, port)
    paths = sorted(example_calls().glob("*.flac"))
    if not paths:
        raise SettingError(
            f"no example calls in {example_calls()}; expected the *.flac that come with callmood: install it again"
        )
    from monitor.sources import CallNames
    from monitor.tokens import Tokens

    names = CallNames()
    sources = [
        _recordings([path], "agent,customer", pace, settings, str(agent), names)
        for agent, path in enumerate(paths, _FIRST_AGENT)
    ]
    tokens = Tokens.temporary(settings.token_audience)
    _run(_Run(settings, sources, _view(name, json=False), history=_history(settings, always=False), tokens=tokens))


def replay(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="recordings, folders of them, or captures")],
    pace: Annotated[str, typer.Option(help="live, or fast: as fast as possible")] = "live",
    channels: ChannelsOption = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, help="with --pace fast: processes that score recordings; default: one a core, if there are enough"
        ),
    ] = None,
    agent: AgentOption = None,
    name: AsOption = None,
    json: JsonOption = False,
    port: PortOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """Recorded calls through the live path: WAV, FLAC, OGG or MP3, 8 to 48 kHz, one or two channels; RTP in pcap files."""
    settings = load_settings(config, overrides, port)
    sources = _replayed(paths, channels, pace, settings, agent, jobs)
    serves = port is not None or (pace == "live" and not json)
    history = _history(settings, always=False)
    _run(_Run(settings, sources, _view(name, json), serves, json, history, posts=pace == "live"))


def live(
    device: Annotated[
        str | None, typer.Option(help="number or part of the name, as `callmood devices` lists them")
    ] = None,
    channels: ChannelsOption = None,
    agent: AgentOption = None,
    name: AsOption = None,
    json: JsonOption = False,
    port: PortOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """A microphone, until Ctrl-C."""
    from monitor.sources import CallNames
    from monitor.sources.microphone import Microphone
    from monitor.sources.recording import parse_channels

    settings = load_settings(config, overrides, port)
    microphone = Microphone(device, parse_channels(channels) if channels else None, CallNames(), agent)
    serves, history = not json or port is not None, _history(settings, always=True)
    _run(_Run(settings, [microphone], _view(name, json, careful=True), serves, json, history, posts=True))


def watch(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="of a server, or of one subscription: wss://HOST:8765/v1/agents/ID")
    ],
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="the token, read anew when it is about to expire; else CALLMOOD_TOKEN"),
    ] = None,
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="certificate of the server's authority, PEM")] = None,
    name: AsOption = None,
    json: JsonOption = False,
) -> None:
    """The dashboard of another machine's server."""
    from monitor.client import Client, trusting
    from monitor.plain import summary
    from monitor.watch import Watch

    view = _view(name, json)
    token = token_file or os.environ.get("CALLMOOD_TOKEN") or None
    client = Client(url, token, tls=trusting(ca) if ca else None)
    seen = Watch(client, [_told(client.address.url, json)] if view is None else [])
    for kind in {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:
        signal.signal(kind, signal.default_int_handler)  # ends like Ctrl-C, the terminal restored
    with seen:
        if view is not None:
            from monitor.dashboard.screen import Dashboard

            dashboard = Dashboard(seen.board, seen.health, now=seen.now, acknowledge=seen.acknowledge, view=view)
            if dashboard.run(seen.finished):
                return
        while not seen.finished.wait(0.2):
            pass
    if seen.fault is not None:
        raise seen.fault
    if not json:
        for ended in seen.ended:
            typer.echo(summary(ended))


def _told(url: str, json: bool) -> Callable[[Any], None]:
    """Prints what `watch` hears: messages on stdout, on stderr what becomes of the connection."""
    from monitor.client import Lost
    from monitor.messages import Hello

    def tell(event: Any) -> None:
        if isinstance(event, Lost):
            typer.echo(f"callmood: {event.reason}; next try in {event.retry_s:.0f} s", err=True)
            return
        if isinstance(event, Hello):
            typer.echo(f"callmood: connected to {url}", err=True)
        (print_json if json else print_line)(event)

    return tell


def serve(
    name: AsOption = None,
    json: JsonOption = False,
    port: PortOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """Calls from telephone systems, until Ctrl-C; SIGTERM refuses new calls and lets the running ones end."""
    from monitor.sources.listeners import listeners

    settings = load_settings(config, overrides, port)
    view, history = _view(name, json, careful=True), _history(settings, always=True)
    _run(_Run(settings, [], view, json=json, history=history, posts=True, listeners=partial(listeners, settings)))


def _replayed(
    paths: Sequence[str], channels: str | None, pace: str, settings: Settings, agent: str | None, jobs: int | None
) -> list[Any]:
    from monitor.sources import CallNames
    from monitor.sources.audiofile import is_capture
    from monitor.sources.recording import count_recordings

    captures = [path for path in paths if is_capture(path)]
    recordings = [path for path in paths if path not in captures]
    names = CallNames()
    count = count_recordings(recordings)
    if jobs is not None and pace != "fast":
        raise SettingError(f"--jobs goes with --pace fast, got --pace {pace}: at live pace one process plays all")
    sources: list[Any] = []
    if pace == "fast" and (workers := _workers(count, jobs)) > 1:
        from monitor.sources.recording import parse_channels
        from monitor.workers import RecordingsApart

        named = parse_channels(channels) if channels else None
        sources.append(RecordingsApart(recordings, names, settings, jobs=workers, channels=named, agent=agent))
    elif recordings:
        sources.append(_recordings(recordings, channels, pace, settings, agent, names))
    if captures:
        from monitor.sources.pcap import Captures, Casting

        sources.append(Captures(captures, names, Casting.parse(channels), settings.rtp, _pace(pace)))
    return sources


def _workers(recordings: int, jobs: int | None) -> int:
    """How many processes play so many recordings."""
    if recordings < 2:
        return 1
    if jobs is not None:
        return min(jobs, recordings)
    from monitor.workers import worth_workers

    return worth_workers(recordings)


def _pace(text: str) -> Any:
    if text not in ("live", "fast"):
        raise SettingError(f"--pace must be live or fast, got {text!r}")
    return text


def _recordings(
    paths: Sequence[str | Path],
    channels: str | None,
    pace: str,
    settings: Settings,
    agent: str | None = None,
    names: Any = None,
) -> Any:
    from monitor.sources import CallNames
    from monitor.sources.recording import Recordings, parse_channels

    return Recordings(
        paths,
        names or CallNames(),
        channels=parse_channels(channels) if channels else None,
        pace=_pace(pace),
        max_calls=settings.max_calls,
        agent=agent,
    )


@dataclass(frozen=True)
class _Run:
    """What a command listens to and where it goes."""

    settings: Settings
    sources: Sequence[Any]
    view: Any
    """What the dashboard begins with; None: there is none."""
    serves: bool = True
    """Whether there is a websocket."""
    json: bool = False
    history: Path | None = None
    """The file that calls are kept in."""
    posts: bool = False
    """Whether alerts go to the webhooks of the settings."""
    listeners: Any = None
    tokens: Any = None
    """Of this run alone: one is made and told."""


def _run(run: _Run) -> None:
    """Plays the sources and takes what the listeners hear to whatever stdout is: JSON, a dashboard, or lines; then says how
    the calls ended.
    """
    from monitor.app import Node

    told = print_json if run.json else print_event if run.listeners else print_line
    receivers = [told] if run.view is None else []
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, the terminal restored
    node = Node(
        run.settings, load_model(run.settings), run.sources, receivers, run.history, looked_at=run.view is not None
    )
    told_to_end = _heed_sigterm(node, drains=bool(run.listeners))
    _heed_sighup(node, run.settings)
    _open(node, run)
    gc.freeze()  # what was imported stays: the collector's longest pauses go through it otherwise
    give_back()
    if run.json:
        print_json(node.hello())
    if _watched(node, run.view):
        told_to_end.set()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends already: one more must not make that look like a failure
    if not run.json:
        _print_summaries(node)
    if told_to_end.is_set():
        return
    # Listeners end by themselves only where the last error says why; those before it were single calls' matters.
    for error in node.errors[-1:] if run.listeners else node.errors:
        typer.echo(f"callmood: {one_line(error.text)}", err=True)
    if node.errors:
        raise typer.Exit(2)


def _open(node: Any, run: _Run) -> None:
    """Opens what others reach this run by, and says where."""
    if run.posts:
        node.post_alerts()
    if run.serves:
        served = node.serve(run.tokens)
        for line in _invitation(node, served, run.tokens):
            typer.echo(line, err=run.json)
    for address in node.listen(run.listeners) if run.listeners else ():
        typer.echo(address, err=run.json)
    if run.history is not None:
        typer.echo(f"history: {run.history}, for {run.settings.history.days} days", err=run.json)


def _history(settings: Settings, always: bool) -> Path | None:
    """Where this command keeps its calls; not `always` means: only where the settings name a file."""
    if not settings.history.keep or not (always or settings.history.file):
        return None
    from monitor.history.database import path_of

    try:
        return path_of(settings.history)
    except HistoryError as error:
        _log.warning("calls are not stored: %s", error)
        return None


def _view(name: str | None, json: bool, careful: bool = False) -> Any:
    """What the dashboard begins with: whose it is, and whether quitting is asked for twice because it ends calls. None where
    there is no screen for it, or JSON is asked for.
    """
    own = own_name(name)
    if json or not has_screen():
        return None
    from monitor.dashboard.view import View

    return View(name=own, careful=careful)


def _invitation(node: Any, served: Any, tokens: Any) -> Iterator[str]:
    """How to subscribe; where this run has tokens of its own, one is written to a file of its own and told."""
    import atexit
    import shutil
    import tempfile

    yield f"websocket: {served.address}"
    watch = f"{sys.executable} -m monitor.cli watch {served.address}"
    if tokens is None:
        token = " --token-file FILE" if node.settings.token_secret or node.settings.token_public_key else ""
        authority = " --ca FILE" if node.settings.tls_certificate else ""
        yield f"subscribe: {watch}{token}{authority}"
        yield f"a desktop: {served.page_address}"
        return
    folder = Path(tempfile.mkdtemp(prefix="callmood-"))  # its mode is 0700
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    token, file = tokens.make(["calls:*", "acknowledge", "metrics"], _DEMO_HOURS, "demo"), folder / "token"
    file.write_text(token + "\n")
    yield f"token, for an hour: {token}"
    yield f"subscribe: {watch} --token-file {file}"
    yield f"a desktop: {served.page_address}?agent={_DEMO_AGENT} (it asks for the token)"
    node.hint = f"desktop: {served.page_address}?agent={_DEMO_AGENT}   its token: cat {file}"


def _heed_sigterm(node: Any, drains: bool) -> threading.Event:
    """SIGTERM ends like Ctrl-C, the terminal restored; where the node `drains`, it does that first (the event is then
    set), and the second ends."""
    told = threading.Event()

    def drain(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        told.set()
        node.drain()

    signal.signal(signal.SIGTERM, drain if drains else signal.default_int_handler)
    return told


def _heed_sighup(node: Any, settings: Settings) -> None:
    """A service reads its certificate and keys anew; whatever belongs to a terminal ends with it, cleanly."""
    if not hasattr(signal, "SIGHUP"):
        return
    on_terminal = sys.stdin is not None and sys.stdin.isatty()
    secured = settings.tls_certificate or settings.token_secret or settings.token_public_key or settings.audit_log
    if (secured or settings.webhooks) and not on_terminal:
        signal.signal(signal.SIGHUP, lambda *_: node.reload())
    else:
        signal.signal(signal.SIGHUP, signal.default_int_handler)


def _watched(node: Any, view: Any) -> bool:
    """Until everything is told, or somebody quits; True for the latter. The dashboard begins with `view`; without one there
    is none."""
    try:
        with node:
            if view is not None:
                from monitor.dashboard.screen import Dashboard

                return Dashboard(node.board, node.health, acknowledge=node.acknowledge, view=view).run(node.finished)
            while not node.finished.wait(0.2):
                pass
    except KeyboardInterrupt:
        return True
    return False


def _print_summaries(node: Any) -> None:
    from monitor.plain import summary

    for ended in node.ended:
        typer.echo(summary(ended, node.alerts))
