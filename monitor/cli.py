"""The command line: parses, prints, exits and configures logging; the only file that does."""

import _thread
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

for _threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # before numpy: its small products gain nothing from more, and spin

import typer  # noqa: E402

from monitor import __version__  # noqa: E402
from monitor.errors import CallmoodError, SettingError  # noqa: E402
from monitor.settings import Settings  # noqa: E402

_log = logging.getLogger(__name__)

_INTERRUPTED = 130
"""What typer makes of Ctrl-C."""
_FIRST_AGENT = 101
"""The id of the first agent of the demo; the others follow."""
_DEMO_AGENT = 102
"""The one whose caller gets angry."""
_DEMO_HOURS = 1.0
"""How long the demo's token is good."""

app = typer.Typer(
    help="Which emotion a caller's voice expresses, every half second, while the call goes on.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="settings in TOML")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="override one setting; may be repeated")
]
PortOption = Annotated[int | None, typer.Option(help="port of the websocket; 0 takes any free one")]
ChannelsOption = Annotated[
    str | None, typer.Option(help="who is on each channel: agent,customer or customer or mixed …")
]
AgentOption = Annotated[
    str | None, typer.Option(help="id of the agent on these calls, for subscribers of /v1/agents/ID")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print the messages, one JSON object a line")]


def main() -> NoReturn:
    """Entry point: exit code 0, or 2 with one line on stderr for every error that has a cure."""
    _configure_logging()
    try:
        code = app(standalone_mode=False)
    except CallmoodError as error:
        _fail(str(error))
    except SystemExit:  # click's answer where whoever reads what we print has gone away (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(0) from None
    except (KeyboardInterrupt, typer.Abort):
        raise SystemExit(0) from None
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        _fail(f"{_one_line(error.format_message()).rstrip('.')}; `callmood --help` says what there is")
    raise SystemExit(0 if code in (None, _INTERRUPTED) else code)


@app.command()
def demo(
    port: PortOption = None,
    pace: Annotated[str, typer.Option(help="live or fast")] = "live",
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """The example calls, live, with dashboard and websocket."""
    settings = _settings(config, overrides, port)
    paths = sorted(_example_calls().glob("*.flac"))
    if not paths:
        raise SettingError(
            f"no example calls in {_example_calls()}; expected the *.flac that come with callmood: install it again"
        )
    from monitor.sources import CallNames
    from monitor.tokens import Tokens

    names = CallNames()
    sources = [
        _recordings([path], "agent,customer", pace, settings, str(agent), names)
        for agent, path in enumerate(paths, _FIRST_AGENT)
    ]
    _watch(settings, sources, serve=True, tokens=Tokens.temporary(settings.token_audience))


@app.command()
def replay(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="recordings, folders of them, or captures")],
    pace: Annotated[str, typer.Option(help="live, or fast: as fast as possible")] = "live",
    channels: ChannelsOption = None,
    agent: AgentOption = None,
    json: JsonOption = False,
    port: PortOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """Recorded calls through the live path: WAV, FLAC, OGG or MP3, 8 to 48 kHz, one or two channels; RTP in pcap files."""
    settings = _settings(config, overrides, port)
    sources = _replayed(paths, channels, pace, settings, agent)
    _watch(settings, sources, serve=port is not None or (pace == "live" and not json), json=json)


@app.command()
def live(
    device: Annotated[
        str | None, typer.Option(help="number or part of the name, as `callmood devices` lists them")
    ] = None,
    channels: ChannelsOption = None,
    agent: AgentOption = None,
    json: JsonOption = False,
    port: PortOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """A microphone, until Ctrl-C."""
    from monitor.sources import CallNames
    from monitor.sources.microphone import Microphone
    from monitor.sources.recording import parse_channels

    settings = _settings(config, overrides, port)
    microphone = Microphone(device, parse_channels(channels) if channels else None, CallNames(), agent)
    _watch(settings, [microphone], serve=not json or port is not None, json=json)


@app.command()
def watch(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="of a server, or of one subscription: wss://HOST:8765/v1/agents/ID")
    ],
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="the token, read anew when it is about to expire; else CALLMOOD_TOKEN"),
    ] = None,
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="certificate of the server's authority, PEM")] = None,
    json: JsonOption = False,
) -> None:
    """The dashboard of another machine's server."""
    from monitor.client import Client, trusting
    from monitor.dashboard import Dashboard, summary
    from monitor.watch import Watch

    token = token_file or os.environ.get("CALLMOOD_TOKEN") or None
    on_screen = sys.stdout.isatty() and not json
    client = Client(url, token, tls=trusting(ca) if ca else None)
    seen = Watch(client, [] if on_screen else [_told(client.address.url, json)])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, the terminal restored
    with seen:
        if on_screen:
            Dashboard(seen.board, seen.health, now=seen.now).run(seen.finished)
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
        (_print_json if json else _print_line)(event)

    return tell


@app.command()
def serve(
    json: JsonOption = False, port: PortOption = None, config: ConfigOption = None, overrides: SetOption = None
) -> None:
    """Calls from telephone systems, until Ctrl-C; SIGTERM refuses new calls and lets the running ones end."""
    from monitor.sources.listeners import listeners

    settings = _settings(config, overrides, port)
    _watch(settings, [], serve=True, json=json, listeners=partial(listeners, settings))


@app.command()
def devices() -> None:
    """The microphones that `callmood live` can take."""
    from monitor.sources import microphone

    for device in microphone.devices():
        typer.echo(str(device))


@app.command()
def model(config: ConfigOption = None, overrides: SetOption = None) -> None:
    """What the model file says about itself."""
    typer.echo(_load_model(_settings(config, overrides)).describe())


@app.command()
def bench(
    parties: Annotated[int | None, typer.Option(min=1, help="test this many only; default: search")] = None,
    seconds: Annotated[float, typer.Option(min=1, max=86_400, help="how long, with --parties")] = 10.0,
    json: JsonOption = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """How many live parties this machine carries: p99 from a window's end to its message under 300 ms, no drop."""
    from msgspec.json import encode

    from monitor import bench

    settings = _settings(config, overrides)
    model, voices = _load_model(settings), bench.voices_of(sorted(_example_calls().glob("*.flac")))

    def tell(load: bench.Load) -> None:
        verdict = "carried" if load.carried else "too much"
        text = f"{load.parties:>6} parties  p50 {load.latency_p50_ms:7.1f} ms  p99 {load.latency_p99_ms:7.1f} ms"
        typer.echo(
            f"{text}  dropped {load.dropped}  {load.cpu_cores:.2f} cores  {load.rss_mb:.0f} MB  {verdict}", err=json
        )

    if parties is None:
        load = bench.search(model, voices, settings, tell)
    else:
        tell(load := bench.measure(model, voices, settings, parties, seconds))
    result = bench.as_json(load, bench.against_naive(model, voices, settings))
    typer.echo(encode(result).decode() if json else "\n".join(f"{name}: {value}" for name, value in result.items()))


@app.command()
def token(
    scope: Annotated[
        list[str] | None, typer.Option(help="calls:*, call:ID, agent:ID, acknowledge, metrics; may be repeated")
    ] = None,
    hours: Annotated[float, typer.Option(min=0.001, max=8_784, help="how long it is good")] = 8.0,
    subject: Annotated[str, typer.Option(help="who it is for: a name for the audit log")] = "",
    new_secret: Annotated[
        Path | None, typer.Option(metavar="FILE", help="make the secret that signs tokens, for token_secret")
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """A token for a subscriber of the websocket, signed with the secret of the setting token_secret."""
    from monitor.tokens import SCOPES, Tokens, write_secret

    if new_secret is not None:
        write_secret(new_secret)
        typer.echo(f"wrote {new_secret}: set token_secret = {str(new_secret)!r}", err=True)
        if not scope:
            return
    settings = _settings(config, [*(overrides or ()), *([f"token_secret={new_secret}"] if new_secret else [])])
    tokens = Tokens.load(settings)
    if tokens is None:
        cure = "make one by `callmood token --new-secret FILE` and name it by --set token_secret=FILE or in --config"
        raise SettingError(f"no secret to sign with: {cure}")
    if not scope:
        raise SettingError(f"a token needs a --scope, such as {SCOPES}")
    typer.echo(tokens.make(scope, hours, subject))


@app.command()
def config(config: ConfigOption = None, overrides: SetOption = None) -> None:
    """Every setting with default, unit and range, as TOML that --config reads."""
    typer.echo(_settings(config, overrides).to_toml(), nl=False)


@app.callback(invoke_without_command=True)
def _common(
    version: Annotated[bool, typer.Option("--version", help="print the version")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="log what begins and ends")] = False,
) -> None:
    if verbose:
        logging.getLogger("monitor").setLevel(logging.INFO)
    if version:
        typer.echo(f"callmood {__version__}")
        raise typer.Exit


def _settings(config: Path | None, overrides: Sequence[str] | None, port: int | None = None) -> Settings:
    given = [*(overrides or ()), *([] if port is None else [f"port={port}"])]
    settings = Settings.load(config, given)
    for name, value in settings.changed().items():
        level = logging.WARNING if name in ("score_agent", "score_mixed") else logging.INFO
        _log.log(level, "setting %s = %s", name, str(value).lower() if isinstance(value, bool) else repr(value))
    return settings


def _replayed(
    paths: Sequence[str], channels: str | None, pace: str, settings: Settings, agent: str | None
) -> list[Any]:
    from monitor.sources import CallNames
    from monitor.sources.capture import is_capture
    from monitor.sources.pcap import Captures, Casting

    captures = [path for path in paths if is_capture(path)]
    recordings = [path for path in paths if path not in captures]
    names = CallNames()
    sources = [_recordings(recordings, channels, pace, settings, agent, names)] if recordings else []
    if captures:
        sources.append(Captures(captures, names, Casting.parse(channels), settings.rtp, _pace(pace)))
    return sources


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


def _load_model(settings: Settings) -> Any:
    from monitor.model import EmotionModel, default_path

    return EmotionModel(Path(settings.model) if settings.model else default_path())


def _example_calls() -> Path:
    inside = Path(__file__).parent / "data" / "calls"
    return inside if inside.exists() else Path(__file__).parents[1] / "examples" / "calls"


def _watch(
    settings: Settings,
    sources: Sequence[Any],
    serve: bool,
    json: bool = False,
    tokens: Any = None,
    listeners: Any = None,
) -> None:
    """Plays `sources` and takes what `listeners` hear to whatever stdout is: JSON, a dashboard, or lines; then says how
    the calls ended.

    `tokens` of this run alone: one is made and told.
    """
    from monitor.app import Node

    on_screen = sys.stdout.isatty() and not json
    receivers = [] if on_screen else [_print_json if json else _print_line]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, the terminal restored
    node = Node(settings, _load_model(settings), sources, receivers)
    told_to_end = _heed_sigterm(node, drains=bool(listeners))
    _heed_sighup(node, settings)
    if serve:
        served = node.serve(tokens)
        for line in _invitation(node, served, tokens):
            typer.echo(line, err=json)
    for address in node.listen(listeners) if listeners else ():
        typer.echo(address, err=json)
    if json:
        _print_json(node.hello())
    if _run(node, on_screen):
        told_to_end.set()
    if not json:
        _print_summaries(node)
    if told_to_end.is_set():
        return
    # Listeners end by themselves only where the last error says why; those before it were single calls' matters.
    for error in node.errors[-1:] if listeners else node.errors:
        typer.echo(f"callmood: {_one_line(error.text)}", err=True)
    if node.errors:
        raise typer.Exit(2)


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
    if secured and not on_terminal:
        signal.signal(signal.SIGHUP, lambda *_: node.reload())
    else:
        signal.signal(signal.SIGHUP, signal.default_int_handler)


def _run(node: Any, on_screen: bool) -> bool:
    """Until everything is told or Ctrl-C; True for the latter."""
    from monitor.dashboard import Dashboard

    try:
        with node:
            if on_screen:
                Dashboard(node.board, node.health).run(node.finished)
            else:
                while not node.finished.wait(0.2):
                    pass
    except KeyboardInterrupt:
        return True
    return False


def _print_summaries(node: Any) -> None:
    from monitor.dashboard import summary

    for ended in node.ended:
        typer.echo(summary(ended, node.alerts))


def _print_json(message: Any) -> None:
    from monitor.messages import encode

    with _while_somebody_reads():
        sys.stdout.buffer.write(encode(message) + b"\n")
        sys.stdout.buffer.flush()


def _print_line(message: Any) -> None:
    from monitor.dashboard import line

    text = line(message)
    if text is not None:
        with _while_somebody_reads():
            typer.echo(text)


@contextmanager
def _while_somebody_reads() -> Iterator[None]:
    """Whoever reads what another thread prints may go away (`| head`): that ends the program like Ctrl-C, without a word."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _thread.interrupt_main(signal.SIGTERM)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _fail(text: str) -> NoReturn:
    typer.echo(f"callmood: {text}", err=True)
    raise SystemExit(2)


def _configure_logging() -> None:
    """Warnings of ours, a line each, to whatever stderr is at the time (the dashboard puts it above the screen)."""
    logging.basicConfig(level=logging.WARNING, format="callmood: %(message)s", handlers=[_StderrHandler()])


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]
    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, _: Any) -> None:
        pass


if __name__ == "__main__":
    main()
