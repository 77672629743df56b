"""Commands that say what there is: devices, the model, this machine's strength, the settings; and make tokens."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

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
    rounds: Annotated[int, typer.Option(min=1, help="times 20 s over which the stages' least times are taken")] = 5,
    json: JsonOption = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """How many live parties this machine carries: p99 from a window's end to its message under 300 ms, no drop.

    Then what a party costs by stage (of at most a hundred heard together), in processor time, and what other ways cost.
    """
    from msgspec.json import encode

    from monitor.bench import load, rivals, stages, voices

    settings = load_settings(config, overrides)
    model, heard = load_model(settings), voices.voices_of(sorted(example_calls().glob("*.flac")))

    def tell(found: load.Load) -> None:
        verdict = "carried" if found.carried else "too much"
        text = f"{found.parties:>6} parties  p50 {found.latency_p50_ms:7.1f} ms  p99 {found.latency_p99_ms:7.1f} ms"
        typer.echo(
            f"{text}  dropped {found.dropped}  {found.cpu_cores:.2f} cores  {found.rss_mb:.0f} MB  {verdict}", err=json
        )

    if parties is None:
        found = load.search(model, heard, settings, tell)
    else:
        tell(found := load.measure(model, heard, settings, parties, seconds))
    cost = stages.cost(model, heard, settings, min(max(1, found.parties), 100), rounds)
    result = asdict(found) | {"cost_of_a_party": asdict(cost)} | rivals.arithmetic(model)
    result |= rivals.against_librosa(cost, heard[0], settings) | rivals.against_naive(model, cost, heard[0])
    typer.echo(encode(result).decode() if json else "\n".join(_lines(result)))


def _lines(result: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """`name: value` a line; what belongs together is indented."""
    for name, value in result.items():
        if isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from _lines(value, indent + "    ")
        else:
            yield f"{indent}{name}: {value}"


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
