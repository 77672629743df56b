import dataclasses
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.alerts.rulefile import DEFAULT_FILE, MOST_BYTES, default_rules, load_rules, parse_rules, read_rules
from monitor.alerts.rules import Rule, keys
from monitor.errors import SettingError

DEFAULT_TEXT = DEFAULT_FILE.read_text(encoding="utf-8")
GOOD = """\
# rules of our own

[sustained_anger]
measure = "score"
labels = [
    "anger",
]
severity = "critical"
raise_at = 0.34
raise_for_s = 4.5
clear_at = 0.3
clear_for_s = 5

[quiet]
measure = "silence"
severity = "warning"
raise_at = 0.9
raise_for_s = 20
clear_at = 0.7
clear_for_s = 1
"""


def refused(text: str) -> str:
    with pytest.raises(SettingError) as caught:
        parse_rules(text, "our.toml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_reads_as_its_rules_in_order() -> None:
    anger, quiet = parse_rules(GOOD, "our.toml")
    assert anger == dataclasses.replace(default_rules()[0], expected_on=())
    assert (quiet.name, quiet.measure, quiet.about_call, quiet.raise_for_s) == ("quiet", "silence", True, 20.0)


def test_the_rules_that_come_with_callmood_are_loaded_where_no_file_is_named(tmp_path: Path) -> None:
    assert load_rules("") == read_rules(DEFAULT_FILE) == default_rules()
    path = tmp_path / "our.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_rules(str(path)) == parse_rules(GOOD, "our.toml")


def test_the_printed_rules_explain_every_key() -> None:
    comments = [line for line in DEFAULT_TEXT.splitlines() if line.startswith("#")]
    for key in keys():
        assert any(f" {key} " in line or f"`{key}`" in line for line in comments), key


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        ("raise_at = 0.34", "raise_att = 0.5", 9, "sustained_anger: unknown key 'raise_att': did you mean 'raise_at'?"),
        ("raise_for_s = 4.5", "raise_for_ms = 3000", 10, "unknown key 'raise_for_ms': did you mean 'raise_for_s'?"),
        (
            "raise_at = 0.34",
            "xyz = 0.5",
            9,
            "sustained_anger: unknown key 'xyz': a rule has measure, labels, severity, ",
        ),
        ("raise_at = 0.34", "", 3, "sustained_anger: raise_at is missing: raised when the measure is this or more"),
        ("raise_at = 0.34", "raise_at = 50", 9, "raise_at must be within 0.01..1, got 50: write 0.5 for 50 %"),
        ("raise_at = 0.34", "raise_at = nan", 9, "raise_at must be within 0.01..1, got nan: it is in shares of 1"),
        ("raise_at = 0.34", 'raise_at = "0.5"', 9, "raise_at must be a number, got '0.5': write it without quotes"),
        ("raise_at = 0.34", "raise_at = true", 9, "raise_at must be a number, got True: write it without quotes"),
        ("clear_at = 0.3", "clear_at = 0.6", 11, "clear_at must be under raise_at (0.34), got 0.6: lower it, or one"),
        ("clear_at = 0.3", "clear_at = -0.1", 11, "clear_at must be within 0..1, got -0.1: it is in shares of 1"),
        (
            "clear_for_s = 5",
            "clear_for_s = 5000",
            12,
            "within 0.25..600, got 5000: it is in seconds: write 5 for 5000 ms",
        ),
        (
            '    "anger",',
            '    "angr",',
            5,
            "labels must be of anger, disgust, fear, happy, neutral, sad, got 'angr': did you",
        ),
        ('    "anger",', '    "anger", "anger"', 5, "labels names 'anger' twice: name each once"),
        ('    "anger",', '    "sad"', 5, "sustained_anger also decides the outcome of calls: expected measure"),
        ('    "anger",', "", 5, 'labels is empty or missing, measure = "score" needs some: write labels = ["anger"]'),
        ('"critical"', '"urgent"', 8, "severity must be one of info, warning, critical, got 'urgent': choose one"),
        ('"critical"', "3", 8, 'severity must be a text in quotes, got 3: write severity = "info"'),
        (
            'measure = "score"',
            'measure = "scores"',
            4,
            "measure must be one of score, rise, silence, got 'scores': did you",
        ),
        (
            "clear_for_s = 5",
            'clear_for_s = 5\nparties = ["caller"]',
            13,
            "parties must be of agent, customer, mixed, got 'c",
        ),
        (
            "clear_for_s = 5",
            'clear_for_s = 5\nparties = "customer"',
            13,
            "parties must be a list of texts, got 'customer'",
        ),
        (
            "clear_for_s = 5",
            "clear_for_s = 5\nparties = []",
            13,
            "parties is empty: the rule would look at nobody; write",
        ),
        ("clear_for_s = 5", "clear_for_s = 5\nwithin_s = 9", 13, "within_s means nothing without after: name the rule"),
        (
            "clear_for_s = 5",
            'clear_for_s = 5\nafter = "quit"',
            13,
            "after names 'quit', which is no rule of this file: did ",
        ),
        (
            "clear_for_s = 5",
            'clear_for_s = 5\nafter = "quiet"',
            13,
            "after names 'quiet', which is about the call and not",
        ),
        (
            "clear_for_s = 5",
            'clear_for_s = 5\nunless = ["sustained_anger"]',
            13,
            "unless names the rule itself: name an",
        ),
        (
            '"silence"\n',
            '"silence"\nlabels = ["sad"]\n',
            16,
            'quiet: labels means nothing with measure = "silence", which',
        ),
        (
            '"silence"\n',
            '"silence"\nnot_before_s = 9\n',
            16,
            'quiet: not_before_s means nothing with measure = "silence", which',
        ),
        (
            'measure = "silence"',
            'measure = "rise"',
            14,
            'quiet: labels is empty or missing, measure = "rise" needs some',
        ),
        ("[quiet]", "[sustained_anger]", 14, "a second rule 'sustained_anger': expected each name once; give one of"),
        (
            "[quiet]",
            "[Dead-Air]",
            14,
            "rule name 'Dead-Air': expected at most 40 small letters, digits and _, a letter",
        ),
        (
            "[quiet]",
            "[[quiet]]",
            14,
            "'quiet' is a list of tables, expected a table a rule: write [quiet] above its keys",
        ),
        ("[quiet]", "[quiet.inner]", 14, "quiet: unknown key 'inner': a rule has measure, labels"),
        ("# rules of our own", "hop_s = 1", 1, "'hop_s' is 1, expected a table a rule: write [hop_s] above its keys"),
        (
            "raise_at = 0.34",
            "raise_at: 0.5",
            9,
            "not TOML: Expected '=' after a key in a key/value pair; `callmood alerts ",
        ),
        (
            "raise_at = 0.34",
            "raise_at = 0.5\nraise_at = 0.6",
            10,
            "not TOML: Cannot overwrite a value; `callmood alerts rules",
        ),
        ("clear_for_s = 1\n", "clear_for_s = [1", 20, "not TOML: Unclosed array; `callmood alerts rules` prints a set"),
    ],
)
def test_a_mistake_is_refused_with_its_line_and_the_cure(old: str, new: str, line: int, text: str) -> None:
    assert old in GOOD
    told = refused(GOOD.replace(old, new, 1))
    assert told.startswith(f"our.toml:{line}: ")
    assert text in told


def test_an_empty_file_is_refused_with_where_to_start_from() -> None:
    cure = "expected a table such as [sustained_anger]; `callmood alerts rules` prints a set to start from"
    assert refused("") == refused("# nothing\n") == f"our.toml: no rule in it: {cure}"


def test_a_rule_that_follows_one_that_follows_is_refused() -> None:
    text = DEFAULT_TEXT + '\n[third]\nmeasure = "score"\nlabels = ["sad"]\nseverity = "info"\nafter = "recovery"\n'
    told = refused(text + "raise_at = 0.5\nraise_for_s = 1\nclear_at = 0.1\nclear_for_s = 1\n")
    line = text.splitlines().index('after = "recovery"') + 1
    expected = "after names 'recovery', which itself comes after 'sustained_anger': name that one"
    assert told == f"our.toml:{line}: third: {expected}"


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    for path, content, text in [
        (tmp_path / "none.toml", None, "none.toml: cannot read the rules: No such file or directory; `callmood alerts"),
        (tmp_path, None, "cannot read the rules: Is a directory"),
        (
            tmp_path / "latin.toml",
            b"# one\n# caf\xe9\n",
            "latin.toml:2: not UTF-8 (invalid continuation byte): save the file",
        ),
        (
            tmp_path / "huge.toml",
            b"#" * (MOST_BYTES + 1),
            "huge.toml: 100001 bytes, expected at most 100000: is it a file of",
        ),
    ]:
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SettingError) as caught:
            read_rules(path)
        assert text in str(caught.value)


def test_too_many_rules_are_refused() -> None:
    body = GOOD.partition("[quiet]\n")[2]
    text = "".join(f"[quiet_{number}]\n{body}" for number in range(51))
    assert refused(text) == "our.toml: 51 rules, expected at most 50: leave some out"


layout = st.tuples(
    st.integers(0, 3),
    st.sampled_from(["{key} = {value}", "'{key}'={value}  # {key} = 1", '"{key}" = {value}', "  {key}={value}"]),
)


@given(st.permutations(sorted(keys())), st.data())
def test_the_line_is_right_however_the_file_is_laid_out(order: list[str], data: st.DataObject) -> None:
    values = {field.name: getattr(default_rules()[0], field.name) for field in dataclasses.fields(Rule)}
    wrong = data.draw(st.sampled_from(["raise_at", "clear_for_s", "severity", "labels"]))
    lines, expected = ["[first]", *GOOD.splitlines()[3:12], "['sustained_anger'] # raise_at = 9"], 0
    for key in order:
        if key in ("after", "within_s", "unless", "expected_on"):
            continue
        blank, form = data.draw(layout)
        lines += ["", "# raise_at = 7", "\t"][:blank]
        value = str(list(values[key])) if isinstance(values[key], tuple) else repr(values[key])
        if key == wrong:
            expected, value = (
                len(lines) + 1,
                '[\n"""raise_at = 1\nlabels = 2""",\n"x"]' if key == "labels" else "{ a = 1 }",
            )
        lines += form.format(key=key, value=value).split("\n")
    text = "\n".join(lines)
    tomllib.loads(text)
    assert refused(text).startswith(f"our.toml:{expected}: sustained_anger: {wrong} ")
