from pathlib import Path

import pytest

from monitor.alerts.stretches import Stretch, parse_stretches, read_stretches
from monitor.errors import SettingError

HEADER = "call,start_s,end_s,label\n"
EXAMPLES = Path(__file__).parents[1] / "examples" / "calls" / "labels.csv"


def test_the_labels_of_the_example_calls_are_read() -> None:
    found = read_stretches(EXAMPLES)
    assert sorted(found) == ["calm", "growing_anger", "sad", "won_back"]
    assert [stretch.label for stretch in found["growing_anger"]] == ["neutral", "anger"]


def test_stretches_come_in_order_of_time_and_by_call() -> None:
    text = HEADER + 'b,5,6,sad\n"a, 2",7.5,9,silence\n\nb, 1 ,5,anger\n'
    assert parse_stretches(text.replace("\n", "\r\n"), "x") == {
        "a, 2": (Stretch("a, 2", 7.5, 9.0, "silence"),),
        "b": (Stretch("b", 1.0, 5.0, "anger"), Stretch("b", 5.0, 6.0, "sad")),
    }


def test_further_columns_are_passed_over() -> None:
    assert parse_stretches("call,start_s,end_s,label,speaker\na,1,2,sad,1001\n", "x") == {
        "a": (Stretch("a", 1.0, 2.0, "sad"),)
    }


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "x:1: expected the header call,start_s,end_s,label, got nothing: separate by commas"),
        ("call;start_s;end_s;label\n", "x:1: expected the header call,start_s,end_s,label, got 'call;start_s;end_s;label': "),
        (HEADER, "x: no row under the header: expected rows such as growing_anger,47.51,89.02,anger"),
        (HEADER + "a,1,2\n", "x:2: 3 columns, expected 4, such as growing_anger,47.51,89.02,anger"),
        (HEADER + "\n,1,2,sad\n", "x:3: call is empty: write the call's name"),
        (HEADER + "a,0:01,2,sad\n", "x:2: start_s must be seconds of the call, got '0:01': write 83.5 for 1:23.5"),
        (HEADER + "a,1,nan,sad\n", "x:2: end_s must be seconds of the call, got 'nan'"),
        (HEADER + "a,-1,2,sad\n", "x:2: start_s must be seconds of the call, got '-1'"),
        (HEADER + "a,2,1,sad\n", "x:2: end_s must be after start_s (2), got 1: swap or mend them"),
        (HEADER + "a,1,2,angry\n", "x:2: label must be one of anger, disgust, fear, happy, neutral, sad, silence, got 'angry': "),
        (HEADER + "a,1,5,sad\nb,1,2,sad\na,4,6,anger\n", "x:4: begins at 4 s, before the stretch of line 2 ends at 5 s: a "),
        (HEADER + '"a,1,2,sad\n', "x:2: not CSV: unexpected end of data; expected rows such as"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_line(text: str, error: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_stretches(text, "x")
    assert str(caught.value).startswith(error)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"none\.csv: cannot read the labels: No such file or directory"):
        read_stretches(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(HEADER.encode() + b"caf\xe9,1,2,sad\n")
    with pytest.raises(SettingError, match=r"latin\.csv: not UTF-8 .*: save the file as CSV in UTF-8"):
        read_stretches(tmp_path / "latin.csv")
