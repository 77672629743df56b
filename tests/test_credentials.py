from pathlib import Path

import pytest

from monitor.errors import SettingError
from monitor.sources.credentials import secrets_from


def test_a_file_has_a_secret_a_line_and_goes_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text("# since May\r\n new \n\nold\n")
    file.chmod(0o600)
    environment = {"NAME": "from the environment"}
    assert secrets_from(str(file), "NAME", environment) == ("new", "old")
    assert secrets_from("", "NAME", environment) == ("from the environment",)
    assert secrets_from("", "OTHER", environment) == ()


def test_a_file_that_others_can_read_or_that_is_not_there_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text("secret")
    file.chmod(0o640)
    for path in (file, tmp_path / "none"):
        with pytest.raises(SettingError, match=str(path)):
            secrets_from(str(path), "NAME", {})
