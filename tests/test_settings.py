import dataclasses
import tomllib
from pathlib import Path

import pytest

from monitor.errors import SettingError
from monitor.settings import RtpSettings, Settings, fields


def test_the_printed_settings_read_back_to_the_same(tmp_path: Path) -> None:
    changed = Settings.load(overrides=["hop_s=0.25", 'node=a "b" \\c', "score_agent=true", "port=0"])
    path = tmp_path / "callmood.toml"
    path.write_text(changed.to_toml())
    assert Settings.load(path) == changed
    assert Settings.load(path) != Settings()


def test_the_command_line_overrides_the_file(tmp_path: Path) -> None:
    path = tmp_path / "callmood.toml"
    path.write_text("hop_s = 1\nport = 9000\n")
    assert Settings.load(path, ["hop_s=2"]) == dataclasses.replace(Settings(), hop_s=2.0, port=9_000)


def test_what_was_changed_is_told() -> None:
    assert Settings.load(overrides=["score_agent=true", "hop_s=0.5"]).changed() == {"score_agent": True}


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("hopp_s=1", "unknown setting 'hopp_s': did you mean 'hop_s'?"),
        ("zzzzzzzz=1", "unknown setting 'zzzzzzzz': `callmood config` lists them"),
        ("hop_s=64", "hop_s must be within 0.25..3 s, got 64"),
        ("hop_s=nan", "hop_s must be within 0.25..3 s, got nan"),
        ("hop_s=0.3", "hop_s must be a multiple of 0.25 s, got 0.3"),
        ("hop_s=fast", "hop_s must be a number, got 'fast'"),
        ("port=80.5", "port must be a whole number, got 80.5"),
        ("score_agent=1", "score_agent must be true or false, got 1"),
        ("backlog=8", "backlog must be within 16..2048 messages, got 8"),
        ("hop_s", "--set takes NAME=VALUE, got 'hop_s': for example --set hop_s=1.0"),
    ],
)
def test_a_wrong_setting_says_what_was_expected(override: str, text: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.load(overrides=[override])
    assert str(caught.value) == text


def test_a_file_that_is_not_toml_or_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"none\.toml: cannot read the settings file: No such file or directory"):
        Settings.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("hop_s: 1")
    with pytest.raises(SettingError, match=r"bad\.toml: not a TOML file: .*`callmood config` prints one"):
        Settings.load(tmp_path / "bad.toml")


def test_every_setting_is_explained() -> None:
    toml = Settings().to_toml()
    fields = list(dataclasses.fields(Settings))
    while fields:
        field = fields.pop()
        assert len(field.metadata["help"]) > 10, field.name
        fields += dataclasses.fields(field.metadata.get("table", _Nothing))
        assert (f"[{field.name}]" if "table" in field.metadata else f"{field.name} = ") in toml


@dataclasses.dataclass
class _Nothing:
    pass


def test_a_table_that_switches_nothing_has_its_defaults_and_reads_back() -> None:
    assert Settings().rtp == RtpSettings() == Settings.load().rtp
    assert Settings().changed() == {}
    settings = Settings.load(overrides=["rtp.jitter_s=0.1", "rtp.allow=192.0.2.0/24"])
    assert settings.changed() == {"rtp.jitter_s": 0.1, "rtp.allow": ("192.0.2.0/24",)}
    assert settings.rtp.host == "127.0.0.1"


def test_lists_of_texts_read_from_a_file_and_from_the_command_line(listed: type) -> None:
    made = fields.made(listed, {"names": ["a", 'b "c"']})
    assert made.names == ("a", 'b "c"')
    assert tomllib.loads("\n".join(fields.toml_entries(made)))["names"] == ["a", 'b "c"']
    assert [fields.parse((), text) for text in ('["x", "y"]', "x, y", "")] == [["x", "y"], ["x", "y"], []]
    with pytest.raises(SettingError) as caught:
        fields.made(listed, {"names": "a"})
    assert str(caught.value) == 'names must be a list of texts, got \'a\': for example names = ["one", "two"]'


def test_a_table_is_off_until_it_stands_there_and_reads_back(listed: type) -> None:
    values: dict[str, object] = {}
    assert fields.made(listed, values).door is None
    assert tomllib.loads("\n".join(fields.toml_entries(fields.made(listed, values)))) == {"names": []}
    fields.override(listed, values, "door.port", "7")
    made = fields.made(listed, values)
    assert (made.door.port, dict(fields.changed_values(made))) == (7, {"door": "on", "door.port": 7})
    assert fields.made(listed, tomllib.loads("\n".join(fields.toml_entries(made)))) == made


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("door", "3", "door must be a table, got 3: write [door] above its settings"),
        ("door.prot", "3", "unknown setting 'door.prot': did you mean 'door.port'?"),
        ("door.port", "70000", "door.port must be within 0..65535, got 70000"),
        ("names.port", "3", "unknown setting 'names.port': names is no table; did you mean 'names'?"),
    ],
)
def test_a_wrong_table_says_what_was_expected(listed: type, name: str, text: str, error: str) -> None:
    def read() -> object:
        values: dict[str, object] = {}
        fields.override(listed, values, name, text)
        return fields.made(listed, values)

    with pytest.raises(SettingError) as caught:
        read()
    assert str(caught.value) == error


@pytest.fixture
def listed() -> type:
    """Settings with a list and a table."""

    @dataclasses.dataclass(frozen=True)
    class Door:
        port: int = fields.setting(1, "where it opens", "", 0, 65_535)

    @dataclasses.dataclass(frozen=True)
    class Listed:
        names: tuple[str, ...] = fields.setting((), "names of things")
        door: Door | None = fields.table(Door, "opens a door")

    return Listed
