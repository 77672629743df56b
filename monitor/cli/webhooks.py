"""`callmood webhooks`: what waits and what was given up, trying again, a test, a new secret."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli.options import ConfigOption, JsonOption, SetOption, load_model, load_settings
from monitor.errors import ServiceError, SettingError
from monitor.settings import Settings, WebhookSettings

app = typer.Typer(
    help="Alerts that are posted to other systems: lists what waits and what was given up, the oldest first.",
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def listed(
    context: typer.Context, json: JsonOption = False, config: ConfigOption = None, overrides: SetOption = None
) -> None:
    if context.invoked_subcommand is not None:
        if json or config or overrides:
            raise SettingError(f"options of {context.invoked_subcommand} stand behind it: `callmood webhooks --help`")
        return
    from msgspec.json import encode

    deliveries = _in_queue(load_settings(config, overrides), lambda queue: queue.all()) or []
    for delivery in deliveries:
        typer.echo(encode(_facts(delivery)).decode() if json else _line(delivery, time.time()))
    if not json:
        given_up = sum(delivery.state == "given_up" for delivery in deliveries)
        typer.echo(f"{len(deliveries) - given_up} waiting, {given_up} given up")


@app.command()
def retry(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID...", help="webhook-ids as listed; default: all that was given up")
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """Puts what was given up back into the queue, under its old id; what waits is tried at once."""
    count = _in_queue(load_settings(config, overrides), lambda queue: queue.retry(ids or ())) or 0
    if ids and not count:
        raise ServiceError(f"none of {', '.join(ids)} was given up: `callmood webhooks` lists what was")
    what = f"{count} wait again" if count else "nothing was given up"
    typer.echo(f"{what}: a running callmood tries all that waits within seconds, else the next one does")


@app.command("test")
def trial(config: ConfigOption = None, overrides: SetOption = None) -> None:
    """Posts a signed test message to every address and says what came back; exit code 2 unless each took it."""
    from monitor.dashboard.looks import plain
    from monitor.webhooks import service

    settings = load_settings(config, overrides)
    meaning = load_model(settings).meaning
    failed = False
    for endpoint, answer in service.trial(settings, f"{meaning.name} {meaning.version}"):
        said = plain(answer.said.decode("utf-8", "replace").strip())
        body = f": {said}" if said else ""
        typer.echo(f"{endpoint.number} {endpoint.shown}  {answer.text} in {1000 * answer.took_s:.0f} ms{body}")
        failed |= answer.verdict != "delivered"
    if failed:
        raise typer.Exit(2)


@app.command()
def secret(path: Annotated[Path, typer.Argument(metavar="FILE", help="a new file, mode 0600")]) -> None:
    """Makes a new secret that signs webhooks, for webhooks.secret_files and for the receiver."""
    from monitor.webhooks.endpoints import write_webhook_secret

    write_webhook_secret(path)
    typer.echo(f"wrote {path}: name it in webhooks.secret_files, and give the receiver what is in it")


def _in_queue(settings: Settings, do: Callable[[Any], Any]) -> Any:
    """What `do` says of the queue; None where there is no file. Raises ServiceError."""
    import sqlite3

    from monitor.webhooks.files import queue_path
    from monitor.webhooks.queue import open_queue

    path = queue_path(settings.webhooks or WebhookSettings())
    if not path.exists():
        return None
    try:
        with closing(open_queue(path)) as queue:
            return do(queue)
    except sqlite3.Error as error:
        raise ServiceError(f"{path}: the webhooks' queue cannot be read: {error}: try again") from None


def _line(delivery: Any, now_s: float) -> str:
    from monitor.dashboard.looks import clock, plain

    tries = f"{delivery.tries} {'try' if delivery.tries == 1 else 'tries'}"
    state = "given up" if delivery.state == "given_up" else "waiting"
    age = clock(max(0.0, now_s - delivery.queued_s))
    what = f"{delivery.kind} {plain(delivery.rule)} ({plain(delivery.severity)}) of {plain(delivery.call)}"
    last = f": {plain(delivery.last)}" if delivery.last else ""
    return f"{state:<8}  {age:>8} ago  {delivery.id}  {what} to {delivery.shown}, {tries}{last}"


def _facts(delivery: Any) -> dict[str, Any]:
    from monitor.messages import rfc3339

    names = ("id", "state", "kind", "call", "rule", "severity", "tries", "last")
    facts = {name: getattr(delivery, name) for name in names}
    return facts | {"endpoint": delivery.shown, "queued_at": rfc3339(delivery.queued_s)}
