"""Commands that say what there is: devices, the model, this machine's strength, the settings; and make tokens."""

from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.options import ConfigOption, JsonOption, SetOption, example_calls, load_model, load_settings
from monitor.errors import SettingError


def devices() -> None:
    """The microphones that `callmood live` can take."""
    from monitor.sources import microphone

    for device in microphone.devices():
        typer.echo(str(device))


def model(config: ConfigOption = None, overrides: SetOption = None) -> None:
    """What the model file says about itself."""
    typer.echo(load_model(load_settings(config, overrides)).describe())


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

    settings = load_settings(config, overrides)
    model, voices = load_model(settings), bench.voices_of(sorted(example_calls().glob("*.flac")))

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
    settings = load_settings(config, [*(overrides or ()), *([f"token_secret={new_secret}"] if new_secret else [])])
    tokens = Tokens.load(settings)
    if tokens is None:
        cure = "make one by `callmood token --new-secret FILE` and name it by --set token_secret=FILE or in --config"
        raise SettingError(f"no secret to sign with: {cure}")
    if not scope:
        raise SettingError(f"a token needs a --scope, such as {SCOPES}")
    typer.echo(tokens.make(scope, hours, subject))


def config(config: ConfigOption = None, overrides: SetOption = None) -> None:
    """Every setting with default, unit and range, as TOML that --config reads."""
    typer.echo(load_settings(config, overrides).to_toml(), nl=False)
