import re
import stat
from pathlib import Path

import pytest

from monitor.errors import SettingError
from monitor.settings import WebhookSettings
from monitor.webhooks.endpoints import SECRET_VARIABLE, endpoints, write_webhook_secret

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENVIRONMENT = {SECRET_VARIABLE: SECRET}


def refused(url: str) -> str:
    with pytest.raises(SettingError) as caught:
        endpoints(WebhookSettings(urls=("https://one.example/", url)), ENVIRONMENT)
    return str(caught.value).removeprefix("webhooks.urls, number 2: ")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://crm.example.com/a", "http://crm.example.com/… is http to another machine: alerts would go through"),
        ("http://localhost.example.com/", "http://localhost.example.com/… is http to another machine"),
        ("http://192.168.1.7/", "http://192.168.1.7/… is http to another machine"),
        ("http://127.0.0.1@crm.example.com/", "has a user or password in it"),
        ("https://ada:pass@crm.example.com/", "has a user or password in it"),
        ("https://crm.example.com/#top", "https://crm.example.com/… has a fragment (#)"),
        ("ftp://crm.example.com/", "expected https://host/path, got 'ftp'"),
        ("file:///etc/passwd", "expected https://host/path, got 'file'"),
        ("crm.example.com/alerts", "expected https://host/path, got 'no scheme'"),
        ("https://", "expected https://host/path, got 'https'"),
        ("https://crm.example.com/a\nb", "no address: Invalid non-printable ASCII character"),
        ("https://crm.example.com:port/", "no address: Invalid port"),
    ],
)
def test_an_address_that_may_not_be_posted_to_is_refused(url: str, why: str) -> None:
    assert refused(url).startswith(why)


@pytest.mark.parametrize(
    "url", ["http://localhost:8080/", "http://127.0.0.1/", "http://[::1]:9/", "https://10.0.0.7/a?b"]
)
def test_https_anywhere_and_http_on_this_machine_are_taken(url: str) -> None:
    (endpoint,) = endpoints(WebhookSettings(urls=(url,)), ENVIRONMENT)
    assert endpoint.url == url


def test_what_is_shown_of_an_address_is_neither_path_nor_query_nor_secret() -> None:
    url = "https://hooks.example.com:8443/services/T0/B0/XyZ?token=hidden"
    (endpoint,) = endpoints(WebhookSettings(urls=(url,)), ENVIRONMENT)
    assert endpoint.shown == "https://hooks.example.com:8443/…"
    assert not re.search(r"XyZ|hidden|secret=|MfKQ", repr(endpoint))


def test_the_same_address_twice_and_none_are_refused() -> None:
    with pytest.raises(SettingError, match="names an address twice"):
        endpoints(WebhookSettings(urls=("https://a/", "https://a/")), ENVIRONMENT)
    with pytest.raises(SettingError, match=r"webhooks\.urls is empty: name an address, such as urls = "):
        endpoints(WebhookSettings(), ENVIRONMENT)


def test_each_address_has_its_own_secret_or_all_have_one(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in "ab"]
    for file in files:
        write_webhook_secret(Path(file))
    urls = ("https://a/", "https://b/")
    one, two = endpoints(WebhookSettings(urls=urls, secret_files=tuple(files)), {})
    assert one.secrets != two.secrets
    one, two = endpoints(WebhookSettings(urls=urls, secret_files=(files[0],)), {})
    assert one.secrets == two.secrets
    with pytest.raises(SettingError, match="names 2 files for 3 urls: expected 1 or 3"):
        endpoints(WebhookSettings(urls=(*urls, "https://c/"), secret_files=tuple(files)), {})


def test_a_file_with_two_secrets_signs_with_both(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    path.touch(0o600)
    path.write_text(f"{SECRET}\nwhsec_{'A' * 32}\n")
    (endpoint,) = endpoints(WebhookSettings(urls=("https://a/",), secret_files=(str(path),)), {})
    assert [len(secret) for secret in endpoint.secrets] == [24, 24]


@pytest.mark.parametrize("text", ["", "hunter2hunter2hunter2hunter2hunter2", "whsec_c2hvcnQ=", "whsec_%%%", "\x00\xff"])
def test_what_is_no_secret_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secret"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(SettingError, match="`callmood webhooks secret FILE` makes one") as caught:
        endpoints(WebhookSettings(urls=("https://a/",), secret_files=(str(path),)), {})
    assert not text or text not in str(caught.value)


def test_no_secret_and_one_that_others_can_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        SettingError, match=r"no secret to sign webhooks with: name files by webhooks\.secret_files, or"
    ):
        endpoints(WebhookSettings(urls=("https://a/",)), {})
    path = tmp_path / "secret"
    write_webhook_secret(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    with pytest.raises(SettingError, match="mode 0640 lets others read it, expected 0600: chmod 600"):
        endpoints(WebhookSettings(urls=("https://a/",), secret_files=(str(path),)), {})


def test_a_secret_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = write_webhook_secret(path)
    with pytest.raises(SettingError, match="cannot make the secret file: File exists"):
        write_webhook_secret(path)
    assert path.read_text() == secret + "\n"
