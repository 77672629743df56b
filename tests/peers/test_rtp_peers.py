"""RTP that real software sends, through the receiver's sockets: what is heard, when, and how it is read."""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.audio import Block, Samples
from monitor.bus import Bus
from monitor.messages import AnyMessage, Gap, Label, Party, Reading
from monitor.model import EmotionModel, default_path
from monitor.pipeline import Pipeline
from monitor.settings import RtpSettings, Settings
from monitor.sources import BlockQueue, CallClosed, CallOpened, Event
from monitor.sources.codecs import G722, OPUS, PCMA, PCMU, Codec
from monitor.sources.jitter import StreamCounters
from monitor.sources.rtp import RtpReceiver
from tests.peers.phones import need
from tests.peers.test_sound_card import offset_of
from tests.rtp_streams import tones

ROOT = Path(__file__).parents[2]
FFMPEG = "ffmpeg -nostdin -hide_banner -loglevel error -re -i {wav}"
WAYS: dict[str, tuple[str, Mapping[int, Codec]]] = {
    "PCMU 20 ms": ("-ar 8000 -ac 1 -af asetnsamples=n=160 -c:a pcm_mulaw -f rtp rtp://127.0.0.1:{port}", {0: PCMU}),
    "PCMU 182 ms": ("-ar 8000 -ac 1 -c:a pcm_mulaw -f rtp rtp://127.0.0.1:{port}", {0: PCMU}),
    "PCMA 172, 140 and 44 bytes": (
        "-ar 8000 -ac 1 -c:a pcm_alaw -f rtp -payload_type 8 rtp://127.0.0.1:{port}?pkt_size=172",
        {8: PCMA},
    ),
    "G.722": ("-ar 16000 -ac 1 -c:a g722 -f rtp -payload_type 9 rtp://127.0.0.1:{port}?pkt_size=172", {9: G722}),
    "Opus": (
        "-ar 48000 -ac 1 -c:a libopus -b:a 24k -application voip -frame_duration 20 -f rtp -payload_type 111 "
        "rtp://127.0.0.1:{port}",
        {111: OPUS},
    ),
}


def receive(
    commands: Mapping[Party, str], codecs: Mapping[int, Codec]
) -> tuple[list[Event], dict[Party, StreamCounters]]:
    """Runs a sender a party, with `{port}` filled in; what came until all have ended."""

    async def listen() -> tuple[list[Event], dict[Party, StreamCounters]]:
        queue = BlockQueue(600)
        receiver = RtpReceiver(RtpSettings(), queue)
        opened_s = time.monotonic()
        queue.put(CallOpened("call", "test", None, dict.fromkeys(commands, 0), in_step=False))
        streams = {party: await receiver.open("call", party, codecs, opened_s) for party in commands}
        ports = {party: stream.port for party, stream in streams.items()}
        words = [text.format(port=ports[party], ports=ports).split() for party, text in commands.items() if text]
        senders = [await asyncio.create_subprocess_exec(*line, stdout=asyncio.subprocess.DEVNULL) for line in words]
        async with asyncio.timeout(120):
            codes = [await sender.wait() for sender in senders]
        assert codes == [0] * len(senders)
        for stream in streams.values():
            stream.close()
        receiver.close()
        queue.put(CallClosed("call", "end"))
        return queue.take(0), {party: stream.counters for party, stream in streams.items()}

    return asyncio.run(listen())


def heard_by(events: list[Event], party: Party) -> tuple[Samples, int]:
    """Samples from the call's beginning, and their rate."""
    blocks = [event for event in events if isinstance(event, Block) and event.party == party and event.samples.size]
    samples = np.zeros(max(block.start + block.samples.size for block in blocks), np.float32)
    for block in blocks:
        samples[block.start : block.start + block.samples.size] = block.samples
    return samples, blocks[0].sample_rate


@pytest.mark.parametrize("way", WAYS)
def test_what_ffmpeg_sends_is_heard_whole_and_in_its_time(way: str, tmp_path: Path) -> None:
    need("ffmpeg")
    command, codecs = WAYS[way]
    (codec,) = codecs.values()
    sent = tones(4.0, codec.sample_rate)
    soundfile.write(tmp_path / "sent.wav", sent, codec.sample_rate)
    text = f"{FFMPEG.format(wav=tmp_path / 'sent.wav')} {command}"
    events, counters = receive({"customer": text}, codecs)
    heard, rate = heard_by(events, "customer")
    assert rate == codec.sample_rate
    counted = counters["customer"]
    assert (counted.lost, counted.malformed, counted.flooded) == (0, 0, 0)
    inner = sent[round(0.5 * rate) : round(3.5 * rate)]
    offset, likeness = offset_of(inner, heard)
    assert likeness > 0.95
    first, _ = offset_of(inner[:rate], heard)
    last, _ = offset_of(inner[-rate:], heard)
    assert first == pytest.approx(offset, abs=rate / 1_000)
    assert last - first == pytest.approx(2 * rate, abs=rate / 1_000), "time neither shrank nor grew"


def test_each_party_is_heard_on_its_own_port() -> None:
    need("ffmpeg")
    tone = (
        "ffmpeg -nostdin -hide_banner -loglevel error -re -f lavfi -i sine=f={hertz}:d=3:r=8000:samples_per_frame=160"
    )
    command, codecs = WAYS["PCMU 20 ms"]
    pitches: dict[Party, int] = {"agent": 400, "customer": 900}
    events, _ = receive({party: f"{tone.format(hertz=hertz)} {command}" for party, hertz in pitches.items()}, codecs)
    for party, hertz in pitches.items():
        heard, rate = heard_by(events, party)
        heard = heard[-2 * rate :]
        assert np.abs(np.fft.rfft(heard)).argmax() * rate / heard.size == pytest.approx(hertz, abs=1)


VOICES = (("calm", 20, 1), ("calm", 20, 0), ("growing_anger", 15, 1), ("won_back", 15, 1))


def test_bad_lines_are_read_like_good_ones(tmp_path: Path) -> None:
    """GStreamer's netsim: 5 % lost, 2 % twice, 30 % up to 80 ms late and out of order; four voices on two lines each, 30 s.

    How many labels a line changes is chance: one line's share may lie under 0.9 where that of all does not.
    """
    need("gst-launch-1.0")
    voices = VOICES * 2
    with ThreadPoolExecutor(len(voices)) as lines:
        pairs = list(
            lines.map(lambda number: bad_and_good(tmp_path / f"{number}.wav", *voices[number]), range(len(voices)))
        )
    labels = [pair for line in pairs for pair in line]
    assert len(labels) >= 54 * len(voices)
    assert sum(good == bad for good, bad in labels) >= 0.9 * len(labels), pairs


def bad_and_good(wav: Path, name: str, begin_s: int, channel: int) -> list[tuple[Label | None, Label | None]]:
    """One voice of an example through a good and a bad line: the labels of the moments that both have, in pairs.

    The lines end some packets apart: each has a last reading of its own, and one more where a half second lies between.
    """
    samples, rate = soundfile.read(ROOT / "examples" / "calls" / f"{name}.flac", dtype="float32")
    soundfile.write(wav, samples[begin_s * rate : (begin_s + 30) * rate, channel], rate, subtype="PCM_16")
    bad = "drop-probability=0.05 duplicate-probability=0.02 delay-probability=0.3 min-delay=10 max-delay=80"
    both = (
        f"gst-launch-1.0 -q filesrc location={wav} ! wavparse ! audioconvert ! audioresample "
        "! audio/x-raw,rate=8000,channels=1 ! audiobuffersplit output-buffer-duration=1/50 ! mulawenc ! identity sync=true "
        "! rtppcmupay max-ptime=20000000 ! tee name=line "
        "line. ! queue ! udpsink host=127.0.0.1 port={ports[agent]} sync=false "
        f"line. ! queue ! netsim {bad} allow-reordering=true ! udpsink host=127.0.0.1 port={{ports[customer]}} sync=false"
    )
    events, counters = receive({"agent": "", "customer": both}, {0: PCMU, 96: PCMU})
    assert counters["agent"].lost == 0
    assert 0.02 < counters["customer"].lost / counters["agent"].received < 0.09
    assert counters["customer"].duplicate > 5
    messages = told(events)
    gap_s = {
        party: sum(gap.end_s - gap.start_s for gap in messages if isinstance(gap, Gap) and gap.party == party)
        for party in counters
    }
    # Where the sender itself stood still, both lines have that gap.
    assert gap_s["customer"] - gap_s["agent"] == pytest.approx(0.02 * counters["customer"].lost, abs=0.5)
    good, lossy = labels_of(messages, "agent"), labels_of(messages, "customer")
    shared = sorted(good.keys() & lossy.keys())
    assert max(len(good), len(lossy)) <= len(shared) + 2, sorted(good.keys() ^ lossy.keys())
    return [(good[end_s], lossy[end_s]) for end_s in shared]


def told(events: list[Event]) -> list[AnyMessage]:
    """What the pipeline says, both parties scored."""
    messages: list[AnyMessage] = []
    bus = Bus()
    bus.subscribe(messages.append)
    Pipeline(EmotionModel(default_path()), Settings(score_agent=True), bus).handle(events)
    return messages


def labels_of(messages: list[AnyMessage], party: Party) -> dict[float, Label | None]:
    """By the moment that a reading ends."""
    return {
        message.end_s: message.label for message in messages if isinstance(message, Reading) and message.party == party
    }
