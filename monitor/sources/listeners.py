"""Every source of telephone calls that the settings switch on."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from monitor.errors import SettingError
from monitor.settings import Settings
from monitor.sources import Before, CallNames, Listener
from monitor.sources.asterisk import Asterisk
from monitor.sources.audiohook import AudioHook
from monitor.sources.audiosocket import AudioSocket
from monitor.sources.siprec import SiprecServer
from monitor.sources.stream_listener import StreamListener
from monitor.sources.streams import Dialect
from monitor.sources.twilio import Twilio

_DIALECTS: dict[str, Callable[[Settings], Dialect]] = {"twilio": Twilio, "audiohook": AudioHook, "asterisk": Asterisk}
"""Table of the settings → what calls that come by the shared websocket listener speak."""


def listeners(settings: Settings, before: Before | None = None) -> list[Listener]:
    """They share the calls' names, and go on from `before`. Raises SettingError where none is on, or one cannot be so."""
    before = before or Before()
    names = CallNames(before.names)
    settings = _on_ports(settings, before.ports) if before.ports else settings
    found: list[Listener] = [SiprecServer(settings, names)] if settings.siprec else []
    if settings.audiosocket:
        found.append(AudioSocket(settings, names))
    if dialects := dialects_on(settings):
        found.append(StreamListener(settings, names, dialects))
    if not found:
        tables = ", ".join(f"[{table}]" for table in ("siprec", *_DIALECTS, "audiosocket"))
        cure = f"write one of {tables} into the file that --config names, or give --set siprec.port=5060"
        raise SettingError(f"no source of calls is switched on: {cure}")
    return found


def dialects_on(settings: Settings) -> list[Dialect]:
    """What the shared websocket listener speaks; empty where nothing of that is on. Raises SettingError likewise."""
    return [make(settings) for table, make in _DIALECTS.items() if getattr(settings, table)]


def _on_ports(settings: Settings, ports: Sequence[int]) -> Settings:
    """With the ports that listeners had, where the settings leave the choice to the system."""
    on = [table for table in ("siprec", "audiosocket") if getattr(settings, table)]
    on += ["streams"] if dialects_on(settings) else []
    tables = {name: replace(getattr(settings, name), port=port) for name, port in zip(on, ports, strict=True)}
    return replace(settings, **tables)
