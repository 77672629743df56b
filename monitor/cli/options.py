"""What several commands share: options, the settings, the model, the example calls."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.errors import SettingError
from monitor.settings import Settings

_LONGEST_NAME = 80
"""Characters, as in the contract."""

_log = logging.getLogger(__name__)

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
AsOption = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="your name for alerts that you look after; default: the login's"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="print the messages, one JSON object a line")]


def own_name(given: str | None) -> str:
    """The name that an acknowledgement from this terminal carries: `given`, or the login name. Raises SettingError."""
    import getpass

    if given is None:
        try:
            return getpass.getuser()[:_LONGEST_NAME] or "supervisor"
        except (OSError, KeyError, ImportError):  # an account without a name, as in a container
            return "supervisor"
    name = given.strip()
    if not (0 < len(name) <= _LONGEST_NAME and name.isprintable()):
        raise SettingError(f"--as must be a name of 1 to {_LONGEST_NAME} printable characters, got {given[:100]!a}")
    return name


def load_settings(config: Path | None, overrides: Sequence[str] | None, port: int | None = None) -> Settings:
    given = [*(overrides or ()), *([] if port is None else [f"port={port}"])]
    settings = Settings.load(config, given)
    for name, value in settings.changed().items():
        if name == "webhooks.urls":  # some services' addresses are secrets
            value = f"{len(value)} addresses"
        level = logging.WARNING if name in ("score_agent", "score_mixed") else logging.INFO
        _log.log(level, "setting %s = %s", name, str(value).lower() if isinstance(value, bool) else repr(value))
    return settings


def load_model(settings: Settings) -> Any:
    from monitor.model import EmotionModel, default_path

    return EmotionModel(Path(settings.model) if settings.model else default_path())


def example_calls() -> Path:
    package = Path(__file__).parents[1]
    inside = package / "data" / "calls"
    return inside if inside.exists() else package.parent / "examples" / "calls"
