"""Real software at the other end: here a sound card that is made of software."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_PROGRAMS = ("pulseaudio", "pactl", "paplay")
_PACKAGES = "pulseaudio pulseaudio-utils libasound2-plugins libportaudio2"


class SoundCard:
    """A PulseAudio server with one sink, `call`: what is played into it is heard on its default microphone."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "native"
        (folder / "asound.conf").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
        self.environment = os.environ | {
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_RUNTIME_PATH": str(folder / "pulse"),
            "PULSE_SERVER": f"unix:{self._socket}",
            "PULSE_SOURCE": "call.monitor",
            "ALSA_CONFIG_PATH": str(folder / "asound.conf"),
        }
        """For programs that listen: PortAudio reads it when it starts."""
        self._log = folder / "log"
        with self._log.open("w") as log:
            self._server = subprocess.Popen(self._command(), env=self.environment, stderr=log)

    def _command(self) -> list[str]:
        sink = "module-null-sink sink_name=call rate=8000 channels=1 format=s16le"
        socket = f"module-native-protocol-unix auth-anonymous=1 socket={self._socket}"
        options = ["--daemonize=no", "--exit-idle-time=-1", "--disable-shm=yes", "--use-pid-file=no", "-n"]
        return ["pulseaudio", *options, f"--load={sink}", f"--load={socket}"]

    def wait_until_ready(self) -> None:
        """Raises TimeoutError after 20 s."""
        deadline = time.monotonic() + 20
        while subprocess.run(["pactl", "info"], env=self.environment, capture_output=True).returncode:
            if time.monotonic() > deadline or self._server.poll() is not None:
                raise TimeoutError(f"pulseaudio did not start: {self._log.read_text()}")

    def play(self, path: Path) -> None:
        """Play a recording to its end."""
        subprocess.run(["paplay", "--device=call", str(path)], env=self.environment, check=True, timeout=60)

    def unplug(self) -> None:
        """The card is gone."""
        self._server.kill()
        self._server.wait()


@pytest.fixture
def sound_card(tmp_path: Path) -> Iterator[SoundCard]:
    """A sound card of software; without the programs the test is skipped, or fails where CI=true."""
    missing = [program for program in _PROGRAMS if not shutil.which(program)]
    if missing:
        text = f"{', '.join(missing)} missing: apt install {_PACKAGES}"
        pytest.fail(text) if os.environ.get("CI") == "true" else pytest.skip(text)
    card = SoundCard(tmp_path)
    try:
        card.wait_until_ready()
        yield card
    finally:
        card.unplug()
