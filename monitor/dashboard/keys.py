"""Bytes of a terminal in, keys out. Pure: no terminal, no clock.

A key is a string: one printable character as it was typed, or a name in words (`up`, `page_down`, `enter`, …).
What is no key of ours (other function keys, reports of the mouse, answers of the terminal) gives nothing.
"""

import codecs
from collections.abc import Iterable, Mapping

PASTE_BEGINS, PASTE_ENDS = "paste begins", "paste ends"
"""Around text that was pasted, in a terminal that was asked to mark it: it was not typed, so it is no command."""

_LONGEST = 64
"""Bytes of a control sequence; a longer one is no key."""

_CONTROLS: Mapping[int, str] = {
    0x08: "backspace",
    0x09: "tab",
    0x0A: "enter",
    0x0C: "redraw",
    0x0D: "enter",
    0x15: "clear",
    0x7F: "backspace",
}
_FINALS: Mapping[str, str] = {
    "A": "up",
    "B": "down",
    "C": "right",
    "D": "left",
    "F": "end",
    "H": "home",
    "M": "enter",
}
"""After `ESC [` or `ESC O`, whatever modifiers were held."""
_NUMBERS: Mapping[str, str] = {
    "1": "home",
    "4": "end",
    "5": "page_up",
    "6": "page_down",
    "7": "home",
    "8": "end",
    "200": PASTE_BEGINS,
    "201": PASTE_ENDS,
}
"""After `ESC [`, before `~`."""

NAMES = frozenset({*_CONTROLS.values(), *_FINALS.values(), *_NUMBERS.values(), "escape"})


class Decoder:
    """Decodes one terminal's bytes, however they are cut: the state is a byte deep, and what it keeps is bounded."""

    def __init__(self) -> None:
        self._step = self._ground
        self._sequence = ""
        self._utf8 = codecs.getincrementaldecoder("utf-8")("ignore")

    def feed(self, data: bytes) -> list[str]:
        """The keys that `data` completes."""
        return [key for byte in data for key in self._step(byte)]

    def silence(self) -> list[str]:
        """Nothing came for a while: a lone escape was the key, anything else that is incomplete never will be."""
        alone = self._step == self._escaped
        self._begin()
        self._utf8.reset()
        return ["escape"] if alone else []

    @property
    def waiting(self) -> bool:
        """Whether the last byte may be the middle of a key."""
        return self._step != self._ground or bool(self._utf8.getstate()[0])

    def _begin(self) -> None:
        self._step, self._sequence = self._ground, ""

    def _ground(self, byte: int) -> Iterable[str]:
        if byte == 0x1B:
            self._utf8.reset()
            self._step = self._escaped
            return ()
        if byte < 0x20 or byte == 0x7F:
            self._utf8.reset()
            return (_CONTROLS[byte],) if byte in _CONTROLS else ()
        return [character for character in self._utf8.decode(bytes([byte])) if character.isprintable()]

    def _escaped(self, byte: int) -> Iterable[str]:
        """After `ESC`: the beginning of a sequence, or the key itself and then another."""
        match chr(byte):
            case "[":
                self._step = self._control
            case "O":
                self._step = self._function
            case "P" | "X" | "]" | "^" | "_":
                self._step = self._string
            case "\x1b":
                return ("escape",)
            case _:
                self._begin()
                return ("escape", *self._ground(byte))
        return ()

    def _control(self, byte: int) -> Iterable[str]:
        """After `ESC [`: parameters, then the final byte that says which."""
        if 0x40 <= byte <= 0x7E and not (byte == 0x5B and not self._sequence):  # `ESC [ [ A` is a function key
            sequence, final = self._sequence, chr(byte)
            self._begin()
            key = _NUMBERS.get(sequence.partition(";")[0]) if final == "~" else _FINALS.get(final)
            return (key,) if key and sequence[:1] not in ("<", "?", ">", "[") else ()
        if byte < 0x20 or byte > 0x7E or len(self._sequence) >= _LONGEST:
            self._begin()
            return self._ground(byte)
        self._sequence += chr(byte)
        return ()

    def _function(self, byte: int) -> Iterable[str]:
        """After `ESC O`."""
        self._begin()
        if 0x20 <= byte <= 0x7E:
            return (_FINALS[chr(byte)],) if chr(byte) in _FINALS else ()
        return self._ground(byte)

    def _string(self, byte: int) -> Iterable[str]:
        """After `ESC ]` and the like: something that the terminal tells, up to BEL or `ESC \\`; no key."""
        if byte == 0x07:
            self._begin()
        elif byte == 0x1B:
            self._step = self._string_escaped
        return ()

    def _string_escaped(self, byte: int) -> Iterable[str]:
        if byte == 0x5C:
            self._begin()
            return ()
        self._step = self._escaped
        return self._step(byte)
