"""Receivers of webhooks on this machine: they answer as they are told, and verify what comes with a library of others."""

import queue
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks.webhooks import Webhook

from monitor.settings import Settings, WebhookSettings
from monitor.webhooks.endpoints import Endpoint, endpoints, write_webhook_secret

STALL, HALF, DRIP, RUBBISH = "stall", "half", "drip", "rubbish"
"""Answers that are none: nothing, a part and then the end, a header a moment without end, no HTTP."""


@dataclass(frozen=True)
class Got:
    """What came, verified."""

    id: str
    timestamp: int
    event: dict[str, Any]
    headers: Mapping[str, str]
    path: str
    at_s: float
    """Monotonic."""


class Receiver:
    """Gives one answer after the other, the last of them for ever: a status, a status with headers, or one of the above."""

    def __init__(
        self, secret: str, *answers: Any, certificate: Mapping[str, str] | None = None, host: str = "127.0.0.1"
    ) -> None:
        self._answers, self._secret = list(answers) or [204], secret
        self.got: queue.Queue[Got] = queue.Queue()
        self.over = threading.Event()
        self._server = ThreadingHTTPServer((host, 0), self._handler())
        self._server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate["tls_certificate"], certificate["tls_key"])
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://{host}:{self._server.server_port}/alerts?key=hidden"

    def answer(self, *answers: Any) -> None:
        """From now on."""
        self._answers = list(answers)

    def next(self, timeout_s: float = 20.0) -> Got:
        return self.got.get(timeout=timeout_s)

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                event = Webhook(receiver._secret).verify(body, dict(headers))
                at_s, stamp = time.monotonic(), int(headers["webhook-timestamp"])
                receiver.got.put(Got(headers["webhook-id"], stamp, event, headers, self.path, at_s))
                answers = receiver._answers
                self.give(answers.pop(0) if len(answers) > 1 else answers[0])

            def give(self, answer: Any) -> None:
                status, headers = answer if isinstance(answer, tuple) else (answer, {})
                if isinstance(status, str):
                    self.close_connection = True
                    self.break_off(status)
                    return
                self.send_response(status)
                for name, value in ({"Content-Length": "0"} | headers).items():
                    self.send_header(name, value)
                self.end_headers()

            def break_off(self, how: str) -> None:
                if how == STALL:
                    receiver.over.wait(30)
                elif how == RUBBISH:
                    self.wfile.write(b"\x00\xff\x1b[2J no HTTP \r\n\r\n")
                elif how == HALF:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")
                elif how == DRIP:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                    with suppress(OSError):
                        while not receiver.over.wait(0.02):
                            self.wfile.write(b"x-drip: 1\r\n")

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


@contextmanager
def receiving(secret: str, *answers: Any, **how: Any) -> Iterator[Receiver]:
    receiver = Receiver(secret, *answers, **how)
    try:
        yield receiver
    finally:
        receiver.close()


def secret_in(folder: Path) -> tuple[str, str]:
    """(file, secret) of a new secret."""
    path = folder / "webhook_secret"
    return (str(path), path.read_text().strip()) if path.exists() else (str(path), write_webhook_secret(path))


def settings_for(folder: Path, *receivers: Receiver, **changed: Any) -> Settings:
    """Quick retries, and a queue in `folder`."""
    values = {
        "urls": tuple(receiver.url for receiver in receivers),
        "secret_files": (secret_in(folder)[0],),
        "queue": str(folder / "state" / "webhooks.db"),
        "first_wait_s": 0.01,
        "longest_wait_s": 0.05,
        "timeout_s": 5.0,
    }
    return Settings(webhooks=WebhookSettings(**values | changed))


def endpoint_of(folder: Path, receiver: Receiver) -> Endpoint:
    settings = settings_for(folder, receiver).webhooks
    assert settings is not None
    return endpoints(settings)[0]
