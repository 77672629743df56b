"""Whose voice an AudioSocket connection is, and of which call: by its UUID, which is all that it says of itself.

A table of UUIDs, in the settings or in a file that may change while calls run; else a rule about a UUID's last digit; else
one setting for all.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl
from uuid import UUID

from monitor.errors import ProtocolError, SettingError
from monitor.messages import PARTIES, Party
from monitor.settings import AudioSocketSettings
from monitor.sources.complaints import Complaints
from monitor.sources.one_party import claim_of
from monitor.sources.switchboard import Claim

_log = logging.getLogger(__name__)

_NAMES = ("call", "party", "agent", "customer")
_LAST_DIGITS: Mapping[str, Party] = {"0": "customer", "1": "agent"}
_MOST_FILE_BYTES = 16_000_000

Table = Mapping[UUID, Mapping[str, str]]


class Directory:
    """Raises SettingError for settings that cannot hold."""

    def __init__(self, settings: AudioSocketSettings, complaints: Complaints) -> None:
        self._settings, self._complaints = settings, complaints
        self._named = parse_table(settings.parties, "audiosocket.parties")
        self._file = Path(settings.parties_file) if settings.parties_file else None
        self._filed: Table = {}
        self._seen: tuple[int, int] = (0, 0)
        """The file's time and size when it was read."""
        if self._file is not None:
            self._read(self._file)

    def claim(self, uuid: UUID) -> Claim:
        """What a connection of that UUID brings. Raises ProtocolError where a table says what cannot be."""
        paired: Mapping[str, str] = {}
        if self._settings.pairing == "last_digit" and (party := _LAST_DIGITS.get(str(uuid)[-1])):
            paired = {"call": f"{str(uuid)[:-1]}0", "party": party}
        tabled = self._tabled(uuid)
        rule = "audiosocket.parties" if "party" in tabled else "audiosocket.pairing"
        default = cast(Party, self._settings.party)
        return claim_of("audiosocket", {**paired, **tabled}, str(uuid), default, (rule, "audiosocket.party"))

    def _tabled(self, uuid: UUID) -> Mapping[str, str]:
        if self._file is not None:
            try:
                self._read(self._file)
            except SettingError as error:  # the operator changes it while calls run
                self._complaints.tell(f"{error}; what it said before holds")
        return self._filed.get(uuid) or self._named.get(uuid) or {}

    def _read(self, path: Path) -> None:
        """Unless it is as it was."""
        try:
            status = path.stat()
            seen = (status.st_mtime_ns, status.st_size)
            if seen == self._seen:
                return
            if status.st_size > _MOST_FILE_BYTES:
                raise SettingError(
                    f"{path}: {status.st_size} bytes, expected at most {_MOST_FILE_BYTES}: strike old calls"
                )
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(f"{path}: cannot read audiosocket.parties_file: {error}") from error
        self._filed, self._seen = parse_table(text.splitlines(), str(path)), seen


def parse_table(lines: Iterable[str], where: str) -> Table:
    """`UUID name=value&name=value` a line; empty lines and those that begin with `#` do not count.

    Raises SettingError that names `where` and the line.
    """
    table: dict[UUID, Mapping[str, str]] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            uuid, said = UUID(words[0]), parse_qsl(" ".join(words[1:]), keep_blank_values=True)
            parameters = dict(said)
        except ValueError:
            raise SettingError(f"{where}, line {number}: expected a UUID first, got {words[0][:60]!a}") from None
        wrong = [name for name in parameters if name not in _NAMES]
        party = parameters.get("party", "customer")
        if wrong or not parameters or party not in PARTIES:
            got = " ".join(words[1:])[:80]
            expected = f"party={'|'.join(PARTIES)}&call=NAME&agent=ID&customer=WHO"
            raise SettingError(f"{where}, line {number}: expected {expected}, each optional, got {got!a}")
        table[uuid] = parameters
    return table


def parse_uuid(payload: bytes) -> UUID:
    """Raises ProtocolError for another length than 16."""
    if len(payload) != 16:
        raise ProtocolError(f"a UUID of {len(payload)} bytes, expected 16")
    return UUID(bytes=payload)
