"""Pages from templates: text from outside is made plain and escaped, and nothing but the page's own style may be used. Pure."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from monitor import __version__
from monitor.dashboard.looks import plain
from monitor.report.chart import GUTTER
from monitor.report.palette import DARK, LIGHT, MOOD_COLOURS
from monitor.report.words import percent

_COLOURED = ("anger", "disgust", "fear", "happy", "neutral", "sad", "unclear")


def page(template: str, values: Mapping[str, Any], written_at: str) -> str:
    """The page that `template` makes of `values`: one file that asks nobody for anything.

    Every text in `values` is shown as text; `Markup` alone is taken as it is. `written_at`: date and time, for people.
    """
    colours = {"light": asdict(LIGHT), "dark": asdict(DARK), "tones": _COLOURED}
    style = _environment().get_template("style.css").render(colours | {"gutter": GUTTER}).strip()
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    shared = {
        "style": Markup(style),
        "policy": policy,
        "version": __version__,
        "written_at": written_at,
        "percent": percent,
        "mood_colours": MOOD_COLOURS,
        "back": None,
    }
    return _environment().get_template(template).render(shared | dict(values))


def picture_address(png: bytes) -> str:
    """`png` as an address that holds it."""
    return f"data:image/png;base64,{b64encode(png).decode()}"


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _shown(value: Any) -> Any:
    """What a template puts out: control characters and marks of direction are made visible."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
