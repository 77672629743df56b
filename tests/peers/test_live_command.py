"""`callmood live` as a person runs it: a voice through PulseAudio, ALSA and PortAudio to its label."""

import csv
import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import soundfile

from tests.peers.conftest import SoundCard
from tests.test_cli import heed_interrupts

ROOT = Path(__file__).parents[2]


def angry_stretch(path: Path) -> None:
    """Writes the first half minute of the customer's anger in the example call, as its labels name it."""
    with (ROOT / "examples" / "calls" / "labels.csv").open() as file:
        row = next(r for r in csv.DictReader(file) if r["call"] == "growing_anger" and r["label"] == "anger")
    samples, sample_rate = soundfile.read(ROOT / "examples" / "calls" / "growing_anger.flac")
    start, end = (round(float(row[name]) * sample_rate) for name in ("start_s", "end_s"))
    soundfile.write(path, samples[start : min(end, start + 30 * sample_rate), 1], sample_rate)


def test_an_angry_voice_becomes_anger(sound_card: SoundCard, tmp_path: Path) -> None:
    voice = tmp_path / "angry.wav"
    angry_stretch(voice)
    command = [sys.executable, "-m", "monitor.cli", "live", "--json", "--channels", "customer"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        command, env=sound_card.environment, cwd=ROOT, text=True, preexec_fn=heed_interrupts, **pipes
    ) as process:
        assert process.stdout is not None
        player = threading.Thread(target=sound_card.play, args=(voice,))
        labels = []
        for line in process.stdout:
            message = json.loads(line)
            if message["type"] == "call_started":
                assert (message["source"], message["parties"]) == (
                    "microphone",
                    {"customer": {"channel": 0, "scored": True}},
                )
                player.start()
            elif message["type"] == "reading":
                labels.append(message["label"] or message["state"])
                if labels.count("anger") >= 4 or message["end_s"] > 45:
                    break
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
    player.join()
    assert labels.count("anger") >= 4, labels
    ended = json.loads(rest.splitlines()[-1])
    assert (ended["type"], ended["reason"]) == ("call_ended", "stopped")
    assert process.returncode == 0
    assert re.fullmatch(r"history: .*history\.db, for 30 days\n", errors)
