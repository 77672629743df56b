import threading
from pathlib import Path

import numpy as np
import pytest

from monitor.audio import Block, float_to_mulaw, mulaw_to_float
from monitor.errors import SettingError
from monitor.settings import RtpSettings
from monitor.sources import BlockQueue, CallClosed, CallNames, CallOpened, Event, Refused
from monitor.sources.audiofile import is_capture
from monitor.sources.pcap import Captures, Casting
from monitor.sources.rtp_packet import RtpPacket
from tests.captures import Endpoint, framed, rtp, udp, write_pcap, write_pcapng
from tests.rtp_streams import Sender

CLIENT, SERVER = "192.0.2.1", "192.0.2.9"
AGENT_WAY = ((CLIENT, 4_000), (SERVER, 40_000))
CUSTOMER_WAY = ((CLIENT, 4_002), (SERVER, 40_002))
AGENT, CUSTOMER = Sender(source=0xA), Sender(source=0xC, first_sequence=100)


def tone(hertz: float, seconds: float = 2.0) -> np.ndarray:
    time_s = np.arange(round(8_000 * seconds)) / 8_000
    return mulaw_to_float(float_to_mulaw((0.5 * np.sin(2 * np.pi * hertz * time_s)).astype(np.float32)))


def frames(*streams: tuple[tuple[Endpoint, Endpoint], list[RtpPacket]]) -> list[tuple[float, bytes]]:
    """By their arrival."""
    found = [(packet.arrived_s + 1_000, udp(*way, rtp(packet))) for way, packets in streams for packet in packets]
    return sorted(found, key=lambda one: one[0])


def played(path: Path, channels: str | None = None, stop: threading.Event | None = None) -> list[Event]:
    queue = BlockQueue(1_000)
    Captures([str(path)], CallNames(), Casting.parse(channels), RtpSettings(), "fast").run(
        queue, stop or threading.Event()
    )
    return queue.take(0)


def pitch(events: list[Event], party: str, call: str = "call") -> float:
    blocks = [e for e in events if isinstance(e, Block) and (e.call, e.party) == (call, party)]
    samples = np.concatenate([block.samples for block in blocks])
    return float(np.abs(np.fft.rfft(samples)).argmax() * 8_000 / samples.size)


def two_streams() -> list[tuple[float, bytes]]:
    return frames((AGENT_WAY, AGENT.packets(tone(300))), (CUSTOMER_WAY, CUSTOMER.packets(tone(700))))


@pytest.mark.parametrize("write", [write_pcap, write_pcapng])
@pytest.mark.parametrize("link", ["Ethernet", "VLAN", "cooked", "cooked 2", "loopback", "raw"])
def test_two_streams_side_by_side_are_a_call(write, link: str, tmp_path: Path, caplog) -> None:
    framed_ones = [(moment, *framed(packet, link)) for moment, packet in two_streams()]
    path = write(tmp_path / "call.pcap", [(moment, frame) for moment, _, frame in framed_ones], framed_ones[0][1])
    assert is_capture(str(path))
    opened, *blocks, closed = played(path)
    assert opened == CallOpened("call", "pcap", str(path), {"agent": 0, "customer": 1}, in_step=False)
    assert closed == CallClosed("call", "end")
    assert (pitch(blocks, "agent"), pitch(blocks, "customer")) == (300, 700)
    assert caplog.messages == [
        "call: agent is 192.0.2.1:4000 > 192.0.2.9:40000 SSRC 0x0000000a (PCMU); "
        "customer is 192.0.2.1:4002 > 192.0.2.9:40002 SSRC 0x0000000c (PCMU) "
        "(their order; name them otherwise by --channels customer,agent)"
    ]


@pytest.mark.parametrize(
    "channels",
    ["customer,agent", "customer=192.0.2.1:4000,agent=192.0.2.1:4002", "customer=0x0000000a,agent=0x0000000C"],
)
def test_who_is_who_can_be_said(channels: str, tmp_path: Path) -> None:
    events = played(write_pcap(tmp_path / "call.pcap", two_streams()), channels)
    assert (pitch(events, "customer"), pitch(events, "agent")) == (300, 700)


def test_streams_against_each_other_are_a_call_and_further_ones_another(tmp_path: Path) -> None:
    back = (AGENT_WAY[1], AGENT_WAY[0])
    other = ((SERVER, 9_000), ("192.0.2.44", 9_002))
    streams = frames(
        (AGENT_WAY, AGENT.packets(tone(300))),
        (back, Sender(source=0xD, begins_s=0.1).packets(tone(500))),
        (other, Sender(source=0xE, begins_s=0.5).packets(tone(900))),
    )
    events = played(write_pcap(tmp_path / "call.pcap", streams))
    assert (pitch(events, "agent"), pitch(events, "customer")) == (300, 500)
    assert pitch(events, "mixed", "call-2") == 900


def test_a_lone_stream_is_nobodys_until_it_is_named(tmp_path: Path, caplog) -> None:
    path = write_pcap(tmp_path / "call.pcap", frames((AGENT_WAY, AGENT.packets(tone(300)))))
    assert played(path)[0].parties == {"mixed": 0}
    assert "nobody said who it is: name it by --channels customer" in caplog.text
    assert played(path, "customer")[0].parties == {"customer": 0}
    assert played(path, "customer=192.0.2.1")[0].parties == {"customer": 0}


def test_the_rest_of_a_capture_is_passed_over(tmp_path: Path) -> None:
    reports = [(1_000.5, udp((CLIENT, 4_001), (SERVER, 40_001), b"\x80\xc8\x00\x01" + bytes(4)))]
    noise = [(1_000.6, udp((CLIENT, 53), (SERVER, 53), b"\x80\x00dns and such")), (1_000.7, b""), (1_000.7, b"\x45")]
    events = played(write_pcap(tmp_path / "call.pcap", sorted(two_streams() + reports + noise)))
    assert [type(event) for event in events if not isinstance(event, Block)] == [CallOpened, CallClosed]


def test_sdp_in_the_capture_explains_payload_types(tmp_path: Path) -> None:
    sdp = udp(
        (CLIENT, 5_060),
        (SERVER, 5_060),
        b"INVITE sip:x SIP/2.0\r\n\r\nm=audio 1 RTP/AVP 97\r\na=rtpmap:97 PCMU/8000\r\n",
    )
    packets = Sender(payload_type=97).packets(tone(300))
    path = tmp_path / "call.pcap"
    (refused,) = played(write_pcap(path, frames((AGENT_WAY, packets))))
    text = "no RTP stream that can be decoded; 100 packets of payload type 97, expected PCMU, PCMA, or another that SDP"
    assert text in str(refused.error)
    assert pitch(played(write_pcap(path, [(999.0, sdp), *frames((AGENT_WAY, packets))])), "mixed") == 300


def test_a_party_whose_ssrc_changes_stays_the_same(tmp_path: Path) -> None:
    packets = AGENT.packets(tone(300)) + Sender(source=0xB, begins_s=2.0).packets(tone(300))
    events = played(write_pcap(tmp_path / "call.pcap", frames((AGENT_WAY, packets))))
    blocks = [event for event in events if isinstance(event, Block)]
    assert blocks[-1].start + blocks[-1].samples.size == 32_000
    assert [type(event) for event in events if not isinstance(event, Block)] == [CallOpened, CallClosed]


def test_the_same_addresses_are_another_call_after_a_long_pause(tmp_path: Path) -> None:
    packets = AGENT.packets(tone(300)) + Sender(source=0xB, begins_s=90.0).packets(tone(500))
    events = played(write_pcap(tmp_path / "call.pcap", frames((AGENT_WAY, packets))))
    assert (pitch(events, "mixed"), pitch(events, "mixed", "call-2")) == (300, 500)


def test_a_capture_that_is_cut_short_is_played_to_there_and_told(tmp_path: Path) -> None:
    path = write_pcap(tmp_path / "call.pcap", two_streams())
    path.write_bytes(path.read_bytes()[:-8_195])
    *_, block, closed = played(path)
    assert isinstance(block, Block)
    assert block.samples.size, "what was never captured is no lost audio"
    assert isinstance(closed, CallClosed)
    assert closed.reason.startswith(f"error: {path}: not a capture that can be read (")
    assert closed.fault is not None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xd4\xc3\xb2\xa1", "not a capture that can be read"),
        (
            b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00" + bytes(8) + b"\xff\xff\x00\x00\x69\x00\x00\x00",
            "link type 105 is not known",
        ),
        (
            b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00" + bytes(8) + b"\xff\xff\x00\x00\x65\x00\x00\x00",
            "no RTP stream that can be",
        ),
        (b"\x0a\x0d\x0d\x0a" + b"\xff" * 40, "not a capture that can be read"),
    ],
)
def test_a_broken_capture_is_refused_in_one_line(data: bytes, text: str, tmp_path: Path) -> None:
    path = tmp_path / "call.pcap"
    path.write_bytes(data)
    (refused,) = played(path)
    assert isinstance(refused, Refused)
    assert text in str(refused.error)


def test_a_call_whose_streams_do_not_fit_the_channels_is_refused(tmp_path: Path) -> None:
    path = write_pcap(tmp_path / "call.pcap", two_streams())
    refused = played(path, "customer")[0]
    assert str(refused.error) == (
        f"{path}: call 1: the call has 2 RTP streams, but --channels names 1 (customer); name one party a stream"
    )
    refused = played(path, "customer=192.0.2.77")[0]
    assert "is named by --channels; name one of them" in str(refused.error)


@pytest.mark.parametrize("text", ["boss=192.0.2.1", "customer=", "=192.0.2.1"])
def test_a_rule_that_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="--channels takes PARTY=SENDER, got"):
        Casting.parse(text)


def test_without_dpkt_the_cure_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SettingError, match=r"captures need dpkt, which is missing: pip install 'callmood\[pcap\]'"):
        played(write_pcap(tmp_path / "call.pcap", two_streams()))


def test_it_stops_when_it_is_told(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    assert played(write_pcap(tmp_path / "call.pcap", two_streams()), stop=stop) == []


def test_recordings_are_no_captures(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    assert not is_capture(str(tmp_path / "a.wav"))
    assert not is_capture(str(tmp_path))
    assert not is_capture(str(tmp_path / "none"))
