"""Asterisk's protocols by the whole program: framing that nobody here wrote (npm), and two parties with their own sounds."""

import asyncio
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.audio import float_to_pcm
from tests.peers.asterisk_switch import CALL_ID
from tests.peers.send_asterisk import by_audiosocket, by_websocket, sound
from tests.sip_client import loudest_hz, tone
from tests.stream_house import audiosocket_house
from tests.test_serve import serving

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / ".venv/npm/node_modules/asterisk-audiosocket"


def need_npms_package() -> None:
    """Skips the test where it is missing, or fails it where CI=true."""
    if not shutil.which("node") or not PACKAGE.is_dir():
        text = "npm's asterisk-audiosocket missing: make .venv/npm"
        pytest.fail(text) if os.environ.get("CI") == "true" else pytest.skip(text)


def test_frames_of_npms_package_are_ours_and_ours_are_its() -> None:
    need_npms_package()

    async def scenario() -> None:
        async with audiosocket_house(party="customer") as house:
            program = (
                "node",
                str(HERE / "audiosocket_peer.mjs"),
                str(PACKAGE),
                str(house.listener.port),
                CALL_ID + "00",
            )
            process = await asyncio.create_subprocess_exec(
                *program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
            said, _ = await asyncio.wait_for(process.communicate(float_to_pcm(tone(440)).tobytes()), 30)
            await house.until(lambda: house.closed)
            assert house.ends == [(CALL_ID + "00", "end")]
            assert round(loudest_hz(house.heard("customer")), -1) == 440
            heard = json.loads(said)
            assert len(heard) >= 5
            assert all(one == {"type": 0x10, "length": 320, "silent": True} for one in heard)

    asyncio.run(scenario())


@pytest.mark.parametrize("by", ["audiosocket", "asterisk"])
def test_the_whole_program_hears_both_parties(by: str, tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{hz}.wav") for hz in (1_000, 440)]
    for path, hz in zip(paths, (1_000, 440), strict=True):
        soundfile.write(path, np.tile(tone(hz), 4), 8_000)
    sounds = [sound(path) for path in paths]
    tables = {
        "audiosocket": ("audiosocket.port=0", "audiosocket.pairing=last_digit"),
        "asterisk": ("streams.port=0", "asterisk.path=/asterisk"),
    }
    options = [word for one in tables[by] for word in ("--set", one)]
    with serving("--json", *options) as (process, _):
        assert process.stderr is not None
        line = next(line for line in process.stderr if line.startswith(("AudioSocket: ", "streams: "))).split()[-1]
        if by == "audiosocket":
            asyncio.run(by_audiosocket(int(line.rpartition(":")[2]), *sounds))
        else:
            asyncio.run(by_websocket(line, *sounds, ""))
        process.terminate()
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    messages = [json.loads(line) for line in output.splitlines()]
    (started,) = [one for one in messages if one["type"] == "call_started"]
    assert (started["source"], [*started["parties"]]) == (by, ["customer", "agent"])
    assert {one["party"] for one in messages if one["type"] == "reading"} == {"customer", "agent"}
    assert [one["reason"] for one in messages if one["type"] == "call_ended"] == ["end"]
