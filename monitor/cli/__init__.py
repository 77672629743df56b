"""The command line: parses, prints, exits and configures logging; the only package that does.

Commands lie in rooms by what they are about; heavy imports are inside the command that needs them.
"""

import gc
import logging
import os
import sys
from typing import Annotated, Any, NoReturn

for _threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # before numpy: its small products gain nothing from more, and spin
gc.set_threshold(20_000)  # imports leave no cycles: looking for them at every 700 objects is a tenth of the start

import typer  # noqa: E402

from monitor import __version__  # noqa: E402
from monitor.cli import alerts, history, inspecting, report, running, webhooks  # noqa: E402
from monitor.cli.console import one_line  # noqa: E402
from monitor.errors import CallmoodError  # noqa: E402

_INTERRUPTED = 130
"""What typer makes of Ctrl-C."""

app = typer.Typer(
    help="Which emotion a caller's voice expresses, every half second, while the call goes on.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for _command in (
    *(running.demo, running.replay, running.live, running.watch, running.serve),
    *(history.calls, history.export, history.forget, report.report),
    *(inspecting.devices, inspecting.model, inspecting.bench, inspecting.token, inspecting.config),
):
    app.command()(_command)
app.add_typer(alerts.app, name="alerts")
app.add_typer(webhooks.app, name="webhooks")


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
        _fail(f"{one_line(error.format_message()).rstrip('.')}; `callmood --help` says what there is")
    raise SystemExit(0 if code in (None, _INTERRUPTED) else code)


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
