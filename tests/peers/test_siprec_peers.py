"""The recording server with the software of others at the other end: sipp, baresip, ffmpeg, and what OpenSIPS once sent."""

import asyncio
import importlib.util
import json
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.sources.sdp import parse_offer
from tests.peers.phones import baresip, need, recording_server, sipp, sipp_records, wait_until_closed, write_sound
from tests.sip_client import client, house, loudest_hz, tone
from tests.test_serve import serving

EXAMPLES = Path(__file__).parents[2] / "examples" / "calls"
WIDE = importlib.util.find_spec("av") is not None


@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_sipp_records_two_parties_and_each_is_heard_as_itself(transport: str, tmp_path: Path) -> None:
    need("sipp", "ffmpeg")
    agent = write_sound(tmp_path / "agent.wav", np.tile(tone(440), 6))
    customer = write_sound(tmp_path / "customer.wav", np.tile(tone(1_000), 6))
    with recording_server(agent=("sip:*@agents.example.com",), customer=("tel:*",)) as home:
        sipp_records(tmp_path, home.server.port, transport, agent, customer, seconds=3)
        wait_until_closed(home)
        (opened,) = home.opened
        assert (opened.call, opened.parties, opened.agent) == ("recorded-by-sipp", {"customer": 0, "agent": 1}, "alice")
        assert [(one.reason, one.fault) for one in home.closed] == [("end", None)]
        for party, frequency_hz in (("agent", 440), ("customer", 1_000)):
            heard = home.heard(party)
            assert heard.size >= 2.4 * 8_000
            assert round(loudest_hz(heard[8_000:]), -1) == frequency_hz


def test_sipps_own_call_with_packets_of_30_ms_and_a_key_press(tmp_path: Path) -> None:
    need("sipp", "/usr/share/sip-tester/g711a.pcap")
    (tmp_path / "pcap").symlink_to("/usr/share/sip-tester")
    with recording_server() as home:
        sipp(tmp_path, home.server.port, "-sn", "uac_pcap", "-mi", "127.0.0.1")
        wait_until_closed(home)
        (opened,) = home.opened
        assert opened.parties == {"mixed": 0}
        assert [one.reason for one in home.closed] == ["end"]
        heard = home.heard("mixed")
        assert heard.size >= 236 * 240
        assert np.abs(heard).max() > 0.05


@pytest.mark.parametrize(
    ("codec", "transport"),
    [
        ("PCMU/8000/1", "udp"),
        ("PCMA/8000/1", "tcp"),
        pytest.param("G722/16000/1", "udp", marks=pytest.mark.skipif(not WIDE, reason="needs the extra codecs")),
        pytest.param("opus/48000/2", "udp", marks=pytest.mark.skipif(not WIDE, reason="needs the extra codecs")),
    ],
)
def test_a_softphone_calls_and_is_heard(codec: str, transport: str, tmp_path: Path) -> None:
    need("baresip", "/usr/lib/baresip/modules/g711.so")
    sample_rate = {"G722": 16_000, "opus": 48_000}.get(codec.split("/")[0], 8_000)
    time_s = np.arange(8 * sample_rate) / sample_rate
    samples = 0.25 * np.sin(2 * np.pi * 700 * time_s)
    channels = int(codec[-1])  # baresip plays a file with as many channels as the codec has
    sound = write_sound(tmp_path / "tone.wav", np.stack([samples] * channels, axis=1), sample_rate)
    with recording_server(customer=("sip:alice@*",)) as home:
        baresip(tmp_path, home.server.port, sound, codec, transport)
        wait_until_closed(home)
        (opened,) = home.opened
        assert (opened.parties, opened.identities) == ({"customer": 0}, {"customer": "sip:alice@agents.example.com"})
        assert [one.reason for one in home.closed] == ["end"]
        blocks = [event for event in home.look() if getattr(event, "party", None) == "customer"]
        heard = np.concatenate([block.samples for block in blocks])
        rate = blocks[0].sample_rate
        assert heard.size >= 2 * rate
        assert round(loudest_hz(heard[rate // 2 :]) * rate / 8_000, -1) == 700


def voices(place: Path) -> tuple[Path, Path]:
    """The customer's voice of the calm example as the agent's, and of the angry one as the customer's: 22 s each."""
    found = []
    for call, start_s in (("calm", 20), ("growing_anger", 59)):
        samples, sample_rate = soundfile.read(EXAMPLES / f"{call}.flac", dtype="float32")
        part = samples[start_s * sample_rate : (start_s + 22) * sample_rate, 1]
        found.append(write_sound(place / f"{call}.wav", part, sample_rate))
    return found[0], found[1]


def test_callmood_serve_reads_the_anger_of_the_customer_and_leaves_the_agent_alone(tmp_path: Path) -> None:
    need("sipp", "ffmpeg")
    agent, customer = voices(tmp_path)
    with serving("--json", "--set", "siprec.customer=tel:*") as (process, port):
        sipp_records(tmp_path, port, "u1", agent, customer, seconds=22)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    messages = [json.loads(line) for line in output.splitlines()]
    started = next(one for one in messages if one["type"] == "call_started")
    assert (started["call"], started["source"]) == ("recorded-by-sipp", "siprec")
    assert {party: (info["channel"], info["scored"]) for party, info in started["parties"].items()} == {
        "customer": (0, True),
        "agent": (1, False),
    }
    assert "5551234567" not in output
    assert "alice" not in output
    readings = [one for one in messages if one["type"] == "reading"]
    assert {one["state"] for one in readings if one["party"] == "agent"} <= {"not_scored", "gap"}
    labels = [one["label"] for one in readings if one["party"] == "customer"]
    assert labels.count("anger") >= 4, labels
    assert [one["reason"] for one in messages if one["type"] == "call_ended"] == ["end"]


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_what_opensips_sends_is_answered(transport: str) -> None:
    text = (Path(__file__).parent / "opensips_invite.txt").read_bytes()

    async def scenario() -> None:
        async with house() as home, client(home.server.port, transport) as caller:
            await caller.send(text.replace(b"127.0.0.1:5060;branch", f"127.0.0.1:{caller.port};branch".encode()))
            answer = await caller.final()
            assert (answer.status, answer.headers.first("cseq")) == (200, "2 INVITE")
            assert answer.headers.first("call-id") == "B2B.95.352452.1795334429.1098977895"
            media = parse_offer(answer.body)
            assert [(one.label, one.direction, list(one.codecs())) for one in media] == [
                ("1", "recvonly", [8]),
                ("0", "recvonly", [0]),
            ]
            (opened,) = home.opened
            assert opened.parties == {"customer": 0, "agent": 1}
            assert opened.identities == {
                "customer": "sip:sipp@127.0.0.1:5061",
                "agent": "sip:customer@127.0.0.1:5060",
            }

    asyncio.run(scenario())
