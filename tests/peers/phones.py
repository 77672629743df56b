"""Stock telephone software that calls a recording server on this machine."""

import asyncio
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from monitor.identities import Identities
from tests.free_ports import free_port
from tests.sip_client import House

HERE = Path(__file__).parent
BARESIP_MODULES = Path("/usr/lib/baresip/modules")
_PACKAGES = {
    "sipp": "sip-tester",
    "baresip": "baresip-core",
    "ffmpeg": "ffmpeg",
    "gst-launch-1.0": "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad",
    "tshark": "tshark",
    str(BARESIP_MODULES / "g711.so"): "baresip-core",
    "/usr/share/sip-tester/g711a.pcap": "sip-tester",
}


_SLACK_S = 8
"""What two ffmpegs may take to start on a busy machine, ..."""
_LOAD_FFMPEG = "ffmpeg -hide_banner -loglevel error -f lavfi -i sine=d=0.1 -ar 8000 -c:a pcm_alaw -f null -"
"""... once it lies in memory: where none has run yet, it and its 200 libraries are read from the disk first. The first call of a
run was over before its media came, now and then, and never a later one."""


def need(*programs: str) -> None:
    """Skips the test where one is missing, or fails it where CI=true."""
    missing = [name for name in programs if not (shutil.which(name) or Path(name).is_file())]
    if missing:
        packages = " ".join(sorted({_PACKAGES[name] for name in missing}))
        text = f"{', '.join(missing)} missing: apt install {packages}"
        pytest.fail(text) if os.environ.get("CI") == "true" else pytest.skip(text)


@contextmanager
def recording_server(**siprec: Any) -> Iterator[House]:
    """A server on an event loop in a thread of its own, stopped at the end; `House.look` may be called here."""
    home = House({}, siprec)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def do(task: Any) -> None:
        asyncio.run_coroutine_threadsafe(task, loop).result(10)

    try:
        do(home.server.start(home.queue, Identities(show=True)))
        yield home
    finally:
        do(home.server.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def wait_until_closed(home: House) -> None:
    """Until the server's thread has put the end of a call, soon after it has answered the BYE. Raises TimeoutError."""
    deadline_s = time.monotonic() + 30
    while not home.closed:
        if time.monotonic() > deadline_s:
            raise TimeoutError("no call was closed within 30 s")
        time.sleep(0.01)


def sipp(place: Path, port: int, *options: str, **environment: str) -> None:
    """One call of sipp to its end. Raises AssertionError where it is not satisfied."""
    own = ["-i", "127.0.0.1", "-p", str(free_port()), "-m", "1", "-nostdin", "-timeout", "60"]
    done = subprocess.run(
        ["sipp", f"127.0.0.1:{port}", "-s", "srs", *own, "-trace_err", "-error_file", "errors.log", *options],
        cwd=place,
        env=os.environ | {"TERM": "dumb"} | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    log = place / "errors.log"
    assert done.returncode == 0, log.read_text() if log.exists() else done.stdout[-2_000:] + done.stderr


def sipp_records(place: Path, port: int, transport: str, agent: Path, customer: Path, seconds: int) -> None:
    """The project's own scenario: sipp as a recording client, its media from ffmpeg."""
    subprocess.run(_LOAD_FFMPEG.split(), stdin=subprocess.DEVNULL, timeout=60, check=True)
    sipp(
        place,
        port,
        "-sf",
        str(HERE / "siprec_client.xml"),
        "-d",
        str(1_000 * (seconds + _SLACK_S)),
        "-t",
        transport,
        SEND_PAIR=str(HERE / "send_pair.sh"),
        AGENT_WAV=str(agent),
        CUSTOMER_WAV=str(customer),
        SECONDS_SENT=str(seconds),
    )


def baresip(place: Path, port: int, sound: Path, codec: str, transport: str = "udp", seconds: int = 4) -> None:
    """A softphone without a sound card calls, plays `sound` and hangs up."""
    modules = ("g711", "g722", "opus", "aufile", "account", "menu")
    lines = [
        f"module_path {BARESIP_MODULES}",
        *(f"module {name}.so" for name in modules if (BARESIP_MODULES / f"{name}.so").exists()),
        f"sip_listen 127.0.0.1:{free_port()}",
        f"audio_source aufile,{sound}",
        "audio_player aufile,/dev/null",
        "audio_alert aufile,/dev/null",
        "net_interface 127.0.0.1",
    ]
    (place / "config").write_text("\n".join(lines) + "\n")
    (place / "accounts").write_text(f"<sip:alice@agents.example.com>;regint=0;audio_codecs={codec}\n")
    (place / "contacts").write_text("")
    dial = f"d sip:srs@127.0.0.1:{port};transport={transport}"
    subprocess.run(
        ["baresip", "-f", str(place), "-e", dial, "-t", str(seconds)],
        cwd=place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )


def write_sound(path: Path, samples: npt.NDArray[np.float32], sample_rate: int = 8_000) -> Path:
    """A recording for a peer to play."""
    soundfile.write(path, samples, sample_rate, subtype="PCM_16")
    return path
