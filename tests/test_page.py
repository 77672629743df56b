"""The page is one file that asks nobody else for anything and shows outside text as text."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

import monitor.page
from monitor.page import page_headers, read_page


def test_the_page_names_no_other_server():
    known = {"http://127.0.0.1:8765/", "http://www.w3.org/2000/svg"}
    assert set(re.findall(r"""https?://[^\s"'`,;<)]+""", str(read_page()))) == known
    assert not re.search(r"<(script|img|iframe)\s[^>]*src|<link[^>]+href=\"(?!data:)|@import|url\(", str(read_page()))


def test_the_page_turns_no_text_into_markup():
    banned = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc"
    assert not re.search(banned, str(read_page()))


def test_the_page_has_neither_handlers_nor_styles_in_its_markup_which_the_policy_would_refuse():
    markup = re.sub(r"<(script|style)>.*?</\1>", "", str(read_page()), flags=re.DOTALL)
    assert not re.search(r"\s(on\w+|style)=", markup)
    assert 'setAttribute("style"' not in str(read_page())


def test_a_token_goes_into_no_address_and_no_lasting_storage():
    assert not re.search(r"localStorage|document\.cookie|indexedDB|[?&](access_)?token=", str(read_page()))


def test_the_policy_lets_only_the_script_and_the_styles_of_the_page_run():
    script, style = "\nlet a = 1;\n", "\np { margin: 0 }\n"
    digests = [b64encode(sha256(text.encode()).digest()).decode() for text in (style, script)]
    headers = page_headers(f"<style>{style}</style><p><script>{script}</script>", "localhost:1")
    assert headers["Content-Security-Policy"] == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'; "
        "connect-src ws://localhost:1 wss://localhost:1; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    bare = page_headers("<p>", "localhost:1")["Content-Security-Policy"]
    assert "style-src 'none'; script-src 'none';" in bare


def test_the_pictures_of_the_page_are_small():
    pictures = Path(__file__).parent.parent / "docs" / "pictures"
    assert all(0 < (pictures / f"desktop_{theme}.png").stat().st_size < 60_000 for theme in ("light", "dark"))


def test_the_page_in_the_package_goes_before_the_one_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = [tmp_path / name for name in ("package.html", "checkout.html")]
    monkeypatch.setattr(monitor.page, "PAGE_PATHS", tuple(paths))
    assert read_page() is None
    paths[1].write_text("checkout")
    assert read_page() == "checkout"
    paths[0].write_text("package")
    assert read_page() == "package"
