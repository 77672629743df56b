"""Every source of telephone calls that the settings switch on."""

from monitor.errors import SettingError
from monitor.settings import Settings
from monitor.sources import CallNames, Listener
from monitor.sources.siprec import SiprecServer


def listeners(settings: Settings) -> list[Listener]:
    """They share the calls' names. Raises SettingError where none is on, or one cannot be so."""
    if settings.siprec is None:
        cure = "write [siprec] into the file that --config names, or give --set siprec.port=5060"
        raise SettingError(f"no source of calls is switched on: {cure}")
    return [SiprecServer(settings, CallNames())]
