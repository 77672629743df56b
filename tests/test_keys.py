from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.dashboard.keys import NAMES, PASTE_BEGINS, PASTE_ENDS, Decoder


def keys_of(data: bytes, then_silence: bool = False) -> list[str]:
    decoder = Decoder()
    keys = decoder.feed(data)
    return [*keys, *decoder.silence()] if then_silence else keys


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"jk/?", ["j", "k", "/", "?"]),
        (b"\x1b[A\x1b[B\x1bOA\x1bOB", ["up", "down", "up", "down"]),
        (b"\x1b[5~\x1b[6~", ["page_up", "page_down"]),
        (b"\x1b[H\x1b[F\x1b[1~\x1b[4~\x1b[7~\x1b[8~\x1bOH\x1bOF", ["home", "end"] * 4),
        (b"\x1b[C\x1b[D", ["right", "left"]),
        (b"\x1b[1;5A", ["up"]),
        (b"\r\n", ["enter", "enter"]),
        (b"\x7f\x08\t\x15\x0c", ["backspace", "backspace", "tab", "clear", "redraw"]),
        ("ä田é".encode(), ["ä", "田", "é"]),
        (b"\x1bq", ["escape", "q"]),
        (b"\x1b\x1b[A", ["escape", "up"]),
        (b"\x1b[200~quit\x1b[201~", [PASTE_BEGINS, "q", "u", "i", "t", PASTE_ENDS]),
    ],
)
def test_what_a_terminal_sends_is_a_key(data: bytes, keys: list[str]) -> None:
    assert keys_of(data) == keys


@pytest.mark.parametrize(
    "data",
    [
        b"\x1b[15~\x1bOP\x1b[[A\x1b[3~",
        b"\x1b[<0;10;20M\x1b[<0;10;20m",
        b"\x1b[?62;4c\x1b[>0;276;0c",
        b"\x1b]11;rgb:0000/0000/0000\x07",
        b"\x1b]11;rgb:0000/0000/0000\x1b\\",
        b"\x1bP1$r0m\x1b\\",
        b"\x00\x01\x1c",
        b"\xff\xfe\xc0",
        "\u202e\u200b\x9b".encode(),
    ],
)
def test_what_is_no_key_of_ours_gives_nothing_and_leaves_nothing(data: bytes) -> None:
    assert keys_of(data + b"j") == ["j"]


def test_escape_alone_is_a_key_once_nothing_follows() -> None:
    decoder = Decoder()
    assert (decoder.feed(b"\x1b"), decoder.waiting) == ([], True)
    assert (decoder.silence(), decoder.waiting) == (["escape"], False)
    assert decoder.feed(b"[A") == ["[", "A"]


@pytest.mark.parametrize("data", [b"\x1b[", b"\x1b[1;", b"\x1bO", b"\x1b]11;", b"\xe7\x94", b"\x1b]11;\x1b"])
def test_what_is_cut_off_is_forgotten_after_silence(data: bytes) -> None:
    decoder = Decoder()
    assert decoder.feed(data) == []
    assert decoder.waiting
    assert decoder.silence() == []
    assert decoder.feed(b"j") == ["j"]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=20))
def test_it_does_not_matter_how_bytes_are_cut(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    decoder = Decoder()
    pieces = [key for start, end in pairwise(edges) for key in decoder.feed(data[start:end])]
    assert pieces == keys_of(data)


_PIECES = st.sampled_from([b"\x1b", b"[", b"O", b"]", b"A", b"~", b"200~", b"5", b";", b"\x07", b"\xe7\x94\xb0", b"q"])


@given(st.lists(_PIECES | st.binary(max_size=4), max_size=60).map(b"".join))
def test_any_bytes_give_only_keys_and_the_next_key_is_heard_after_silence(data: bytes) -> None:
    decoder = Decoder()
    keys = [*decoder.feed(data), *decoder.silence()]
    assert all(key in NAMES or (len(key) == 1 and key.isprintable()) for key in keys)
    assert not decoder.waiting
    assert decoder.feed(b"\x1b[A") == ["up"]


@given(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=50))
def test_typed_text_comes_as_it_was_typed(text: str) -> None:
    assert "".join(keys_of(text.encode(), then_silence=True)) == text


def test_an_endless_sequence_is_not_kept() -> None:
    decoder = Decoder()
    decoder.feed(b"\x1b[" + b"1" * 1_000_000)
    assert len(decoder._sequence) <= 64
    decoder.feed(b"\x1b]" + b"1" * 1_000_000)
    assert len(decoder._sequence) <= 64
