"""The websocket listener behind nginx, which ends TLS and takes a part of the path off, as docs/twilio.md has it."""

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from twilio.request_validator import RequestValidator
from websockets.asyncio.client import connect

from monitor.audio import float_to_mulaw
from tests.free_ports import free_port
from tests.peers.audiohook_client import API_KEY, SECRET, Client, request_headers, sign
from tests.peers.media_streams import CALL, MediaStream, call
from tests.sip_client import loudest_hz, tone
from tests.stream_house import stream_house

DOCS = Path(__file__).parents[2] / "docs"
AUTH_TOKEN = "12345678901234567890123456789012"
_CONFIGURATION = """
daemon off; pid {folder}/pid; error_log stderr; worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/key.pem;
        {location}
    }}
}}
"""


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return not one.connect_ex(("127.0.0.1", port))


@contextmanager
def nginx(folder: Path, listener_port: int, port: int) -> Iterator[ssl.SSLContext]:
    """A proxy at `port`; what its clients trust."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        text = "nginx missing: apt install nginx-light"
        pytest.fail(text) if os.environ.get("CI") == "true" else pytest.skip(text)
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += [
        "-keyout",
        str(folder / "key.pem"),
        "-out",
        str(folder / "chain.pem"),
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    subprocess.run([*make, "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    location = (DOCS / "twilio.md").read_text().partition("```nginx\n")[2].partition("```")[0]
    location = location.replace("127.0.0.1:8766", f"127.0.0.1:{listener_port}")
    (folder / "nginx.conf").write_text(_CONFIGURATION.format(folder=folder, port=port, location=location))
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=subprocess.PIPE)
    try:
        until_s = time.monotonic() + 20
        while not _listens(port):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < until_s
            time.sleep(0.05)
        yield ssl.create_default_context(cafile=str(folder / "chain.pem"))
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_signed_calls_of_both_kinds_come_through_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLMOOD_TWILIO_AUTH_TOKEN", AUTH_TOKEN)
    monkeypatch.setenv("CALLMOOD_AUDIOHOOK_KEYS", f"{API_KEY} {SECRET}")
    port = free_port()
    public_url = f"wss://localhost:{port}/mood"
    sounds = {"inbound": float_to_mulaw(tone(1_000)).tobytes(), "outbound": float_to_mulaw(tone(440)).tobytes()}

    async def scenario() -> None:
        async with stream_house(twilio={}, audiohook={}, streams={"public_url": public_url}) as house:
            assert house.said == f"streams: {public_url}/twilio, {public_url}/audiohook"
            with nginx(tmp_path, house.listener.port, port) as trust:
                url = f"{public_url}/twilio"
                signature = RequestValidator(AUTH_TOKEN).compute_signature(url, {})
                sending = await call(url, MediaStream(), {"X-Twilio-Signature": signature}, ssl=trust)
                await sending.play(sounds, pace=0)
                await sending.end()
                await house.until(lambda: house.ends == [(CALL, "end")])
                for party, pitch_hz in (("customer", 1_000), ("agent", 440)):
                    assert round(loudest_hz(house.heard(party)), -1) == pitch_hz

                url = f"{public_url}/audiohook"
                headers = sign(request_headers(str(uuid.uuid4())), url)
                connection = await connect(url, additional_headers=headers, ssl=trust, compression=None)
                client = Client(connection, headers["Audiohook-Session-Id"])
                assert (await client.open())["type"] == "opened"
                assert (await client.close())["type"] == "closed"
                await house.until(lambda: len(house.ends) == 2)

    asyncio.run(scenario())
