"""The example page for an agent's desktop, and the headers that keep it to itself."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

PAGE_PATHS = (
    Path(__file__).parent / "data" / "agent_desktop.html",  # in the wheel
    Path(__file__).parent.parent / "examples" / "agent_desktop.html",  # in a checkout
)


def read_page() -> str | None:
    """The page; None where the installation lacks it."""
    found = next((path for path in PAGE_PATHS if path.is_file()), None)
    return found.read_text(encoding="utf-8") if found else None


def page_headers(page: str, host: str) -> dict[str, str]:
    """HTTP headers for `page` asked for as `host` (`name:port`): it may run its own script and talk to `host` only."""
    policy = "default-src 'none'; img-src data:; "
    policy += f"style-src {_hashes(page, 'style')}; script-src {_hashes(page, 'script')}; "
    policy += f"connect-src ws://{host} wss://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def _hashes(page: str, tag: str) -> str:
    texts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digests = [b64encode(sha256(text.encode()).digest()).decode() for text in texts]
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
