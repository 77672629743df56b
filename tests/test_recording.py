import logging
import os
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from monitor.audio import Block
from monitor.errors import SettingError
from monitor.sources import BlockQueue, CallClosed, CallNames, CallOpened, Event, Refused
from monitor.sources.recording import Recordings, parse_channels
from tests.ungathered import UngatheredQueue

Signal = npt.NDArray[np.float32]

WAV_ENCODINGS = {  # greatest difference to what was written
    "PCM_U8": 1 / 127,
    "PCM_16": 1e-4,
    "PCM_24": 1e-6,
    "PCM_32": 1e-6,
    "FLOAT": 0,
    "DOUBLE": 0,
    "ULAW": 0.02,
    "ALAW": 0.02,
}
RATES = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000)
OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
LOSSY = [
    *(("vorbis.ogg", "OGG", "VORBIS", rate) for rate in RATES),
    *(("opus.opus", "OGG", "OPUS", rate) for rate in OPUS_RATES),
    *(("mpeg.mp3", "MP3", "MPEG_LAYER_III", rate) for rate in RATES),
]


def voice(duration_s: float = 0.5, sample_rate: int = 8_000, pitch: float = 120.0) -> Signal:
    """Something like a voice below 3 kHz: harmonics of `pitch` (Hz) whose level rises and falls four times a second."""
    time_s = np.arange(round(duration_s * sample_rate)) / sample_rate
    glide = 2 * np.pi * pitch * (time_s + 0.02 * np.sin(2 * np.pi * time_s))
    harmonics = sum(np.sin(number * glide + number) / number for number in range(1, 20))
    return (0.1 * harmonics * (1 + 0.8 * np.sin(2 * np.pi * 4 * time_s))).astype(np.float32)


def play(paths: Sequence[str | Path], pace: Any = "fast", **options: Any) -> list[Event]:
    """Everything that `Recordings` puts."""
    queue = UngatheredQueue(limit_s=1e9)
    Recordings(paths, CallNames(), pace=pace, max_calls=1_000, **options).run(queue, threading.Event())
    return queue.take(0)


def blocks_of(events: list[Event], party: str = "customer") -> list[Block]:
    return [event for event in events if isinstance(event, Block) and event.party == party]


def heard(events: list[Event], party: str = "customer") -> Signal:
    """All samples of a party; its blocks must follow each other without a hole."""
    blocks = blocks_of(events, party)
    sizes = [block.samples.size for block in blocks]
    assert [block.start for block in blocks] == [sum(sizes[:i]) for i in range(len(sizes))]
    return np.concatenate([block.samples for block in blocks])


def reasons(events: list[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, CallClosed)]


def refusals(events: list[Event]) -> list[str]:
    return [str(event.error) for event in events if isinstance(event, Refused)]


def opened(events: list[Event]) -> list[CallOpened]:
    return [event for event in events if isinstance(event, CallOpened)]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that paths are short."""
    monkeypatch.chdir(tmp_path)


# Formats


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("encoding", WAV_ENCODINGS)
def test_every_wav_encoding_is_heard_as_it_was_written(encoding: str, sample_rate: int) -> None:
    soundfile.write("call.wav", voice(0.5, sample_rate), sample_rate, subtype=encoding)
    events = play(["call.wav"])
    assert np.abs(heard(events) - voice(0.5, sample_rate)).max() <= WAV_ENCODINGS[encoding]
    assert blocks_of(events)[0].sample_rate == sample_rate
    assert reasons(events) == ["end"]


@pytest.mark.parametrize("sample_rate", RATES)
def test_flac_is_heard_as_it_was_written(sample_rate: int) -> None:
    soundfile.write("call.flac", voice(0.5, sample_rate), sample_rate)
    assert np.abs(heard(play(["call.flac"])) - voice(0.5, sample_rate)).max() < 1e-4


@pytest.mark.parametrize(("name", "container", "encoding", "sample_rate"), LOSSY)
def test_compressed_recordings_keep_their_length_and_sound(
    name: str, container: str, encoding: str, sample_rate: int
) -> None:
    written = voice(2.0, sample_rate)
    soundfile.write(name, written, sample_rate, format=container, subtype=encoding)
    read = heard(play([name]))
    assert read.size == written.size
    assert np.corrcoef(read, written)[0, 1] > 0.9


@pytest.mark.parametrize("name", ["call.mp3", "call.ogg", "call.opus", "call.flac"])
def test_the_size_of_the_steps_changes_no_sample(name: str) -> None:
    encoding = {"format": "OGG", "subtype": "OPUS"} if name == "call.opus" else {}
    soundfile.write(name, voice(1.3, 16_000), 16_000, **encoding)
    assert np.array_equal(heard(play([name], "live")), heard(play([name], "fast")))


def test_the_parties_of_two_channels_are_kept_apart() -> None:
    low, high = voice(pitch=90), voice(pitch=200)
    soundfile.write("call.wav", np.stack([low, high], axis=1), 8_000, subtype="FLOAT")
    events = play(["call.wav"])
    assert np.array_equal(heard(events, "agent"), low)
    assert np.array_equal(heard(events, "customer"), high)
    assert opened(events) == [CallOpened("call", "recording", "call.wav", {"agent": 0, "customer": 1})]


def test_a_gsm_recording_of_a_pbx_plays_too() -> None:
    soundfile.write("call.wav", voice(1.0), 8_000, subtype="GSM610")
    assert heard(play(["call.wav"])).size == 8_320  # filled up to whole GSM frames


@pytest.mark.parametrize(("riff_size", "data_size"), [(0, 0), (36, 0), (2**32 - 1, 2**32 - 1), (2**32 - 1, 0x7FFFF000)])
def test_a_wav_that_was_written_into_a_pipe_plays_whole(riff_size: int, data_size: int) -> None:
    soundfile.write("call.wav", voice(), 8_000)
    wav = bytearray(Path("call.wav").read_bytes())
    struct.pack_into("<I", wav, 4, riff_size)
    struct.pack_into("<I", wav, 40, data_size)
    Path("piped.wav").write_bytes(wav)
    events = play(["piped.wav"])
    assert np.array_equal(heard(events), heard(play(["call.wav"])))
    assert reasons(events) == ["end"]


def test_a_flac_that_does_not_know_its_length_plays_whole() -> None:
    soundfile.write("call.flac", voice(), 8_000)
    flac = bytearray(Path("call.flac").read_bytes())
    flac[22:26] = bytes(4)  # the low 32 bits of STREAMINFO's count of samples
    Path("piped.flac").write_bytes(flac)
    events = play(["piped.flac"])
    assert heard(events).size == voice().size
    assert reasons(events) == ["end"]


# Names and folders


@pytest.mark.parametrize("name", ["call.raw", "call.bin", "call"])
def test_a_file_that_is_named_itself_may_have_any_suffix(name: str) -> None:
    soundfile.write(name, voice(), 8_000, format="WAV", subtype="FLOAT")
    assert np.array_equal(heard(play([name])), voice())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_bad_recordings_leave_no_file_open() -> None:
    soundfile.write("good.wav", voice(), 8_000)
    soundfile.write("three.wav", np.zeros((800, 3)), 8_000)
    Path("header.wav").write_bytes(Path("good.wav").read_bytes()[:30])
    before = len(list(Path("/proc/self/fd").iterdir()))
    play(["good.wav", "three.wav", "header.wav", "good.wav"], channels=("agent", "customer"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_call_is_named_after_the_file_and_numbered_when_taken() -> None:
    for path in ("monday/call.wav", "tuesday/call.wav"):
        Path(path).parent.mkdir()
        soundfile.write(path, voice(), 8_000)
    events = play(["./monday/call.wav", "tuesday/call.wav"])
    assert [event.call for event in opened(events)] == ["call", "call-2"]
    assert [event.path for event in opened(events)] == ["./monday/call.wav", "tuesday/call.wav"]


def test_a_folder_plays_its_recordings_by_name_and_skips_what_is_hidden() -> None:
    for path in ("b.WAV", "a.flac", "in/side/c.mp3", ".hidden.wav", ".git/d.wav", "in/._e.wav"):
        Path("calls", path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(Path("calls", path), voice(), 8_000, format=Path(path).suffix[1:].upper())
    Path("calls/notes.txt").write_text("no recording")
    events = play(["./calls/"])
    assert [event.path for event in opened(events)] == ["./calls/a.flac", "./calls/b.WAV", "./calls/in/side/c.mp3"]
    assert refusals(events) == []


def test_a_thousand_clips_are_opened_a_few_at_a_time() -> None:
    soundfile.write("0000.wav", voice(0.02), 8_000)
    for number in range(1, 1_000):
        os.link("0000.wav", f"{number:04}.wav")
    events = play(["."])
    open_now = most = 0
    for event in events:
        open_now += isinstance(event, CallOpened) - isinstance(event, CallClosed)
        most = max(most, open_now)
    assert reasons(events) == ["end"] * 1_000
    assert most <= 2 * (os.cpu_count() or 1)


def test_at_live_pace_no_more_than_the_allowed_calls_run_at_once() -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        soundfile.write(name, voice(0.1), 8_000)
    queue = BlockQueue(limit_s=60)
    Recordings(["."], CallNames(), pace="live", max_calls=1).run(queue, threading.Event())
    kinds = [type(event).__name__ for event in queue.take(0) if not isinstance(event, Block)]
    assert kinds == ["CallOpened", "CallClosed"] * 3


def test_a_name_that_is_no_utf_8_is_sent_as_text_that_is() -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    soundfile.write("call.wav", voice(), 8_000)
    Path("call.wav").rename(name)
    (event,) = opened(play([name]))
    assert (event.call, event.path) == ("caf\ufffd", "caf\ufffd.wav")


# Channels


def test_one_unnamed_channel_is_the_customer_and_that_is_said_once(caplog: Any) -> None:
    for name in ("a.wav", "b.wav"):
        soundfile.write(name, voice(), 8_000)
    soundfile.write("c.wav", np.zeros((800, 2)), 8_000)
    with caplog.at_level(logging.WARNING, "monitor.sources.recording"):
        play(["."])
    assert caplog.messages == [
        "one channel is taken as the customer; name it otherwise with --channels mixed",
        "two channels are taken as agent,customer; name them otherwise with --channels customer,agent",
    ]


def test_named_channels_are_taken_as_named_without_a_word(caplog: Any) -> None:
    soundfile.write("call.wav", voice(), 8_000)
    assert opened(play(["call.wav"], channels=("mixed",)))[0].parties == {"mixed": 0}
    assert caplog.messages == []


def test_a_recording_that_does_not_fit_the_named_channels_is_refused_alone() -> None:
    soundfile.write("mono.wav", voice(), 8_000)
    soundfile.write("stereo.wav", np.zeros((800, 2)), 8_000)
    events = play(["mono.wav", "stereo.wav"], channels=("agent", "customer"))
    assert refusals(events) == [
        "mono.wav: has 1 channel, but --channels names 2 (agent,customer); name one party a channel"
    ]
    assert [event.call for event in opened(events)] == ["stereo"]


@pytest.mark.parametrize(
    ("text", "parties"),
    [
        ("customer", ("customer",)),
        ("agent,customer", ("agent", "customer")),
        (" Customer, agent", ("customer", "agent")),
    ],
)
def test_channels_are_named_in_their_order(text: str, parties: tuple[str, ...]) -> None:
    assert parse_channels(text) == parties


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "agent,caller",
            "--channels takes agent, customer, mixed, got 'caller': for example --channels agent,customer",
        ),
        ("", "--channels takes agent, customer, mixed, got '': for example --channels agent,customer"),
        ("agent,agent", "--channels names agent twice: name each party once, for example agent,customer"),
        ("mixed,agent", "--channels mixed,agent: mixed is both parties on one channel, it stands alone"),
    ],
)
def test_a_wrong_naming_says_what_is_allowed(text: str, error: str) -> None:
    with pytest.raises(SettingError) as raised:
        parse_channels(text)
    assert str(raised.value) == error


# Pace


def test_at_live_pace_blocks_come_when_they_are_spoken() -> None:
    soundfile.write("call.wav", voice(0.35), 8_000)
    began_s = time.monotonic()
    blocks = blocks_of(play(["call.wav"], "live"))
    took_s = time.monotonic() - began_s
    assert [block.samples.size for block in blocks] == [800, 800, 800, 400]
    assert np.allclose(np.diff([block.arrived_s for block in blocks]), 0.1)
    assert began_s + 0.1 <= blocks[0].arrived_s
    assert took_s >= 0.35


def test_after_a_stall_everything_comes_late_and_nothing_is_lost() -> None:
    soundfile.write("call.wav", voice(0.5), 8_000, subtype="FLOAT")
    queue = UngatheredQueue(limit_s=0.15)
    source = Recordings(["call.wav"], CallNames(), pace="live", max_calls=1)
    thread = threading.Thread(target=source.run, args=(queue, threading.Event()))
    thread.start()
    thread.join(0.7)  # nobody takes: the source waits for room
    assert thread.is_alive()
    resumed_s = time.monotonic()
    events: list[Event] = []
    while not reasons(events):
        events += queue.take(1)
    thread.join()
    assert np.array_equal(heard(events), voice(0.5))
    assert np.allclose(np.diff([block.arrived_s for block in blocks_of(events)]), 0.1)
    assert time.monotonic() - resumed_s < 0.4
    assert queue.dropped_blocks == 0


@pytest.mark.parametrize("pace", ["live", "fast"])
def test_stop_closes_every_open_call_at_once(pace: Any) -> None:
    for name in ("a.wav", "b.wav"):
        soundfile.write(name, voice(30), 8_000)
    queue, stop = BlockQueue(limit_s=0.1), threading.Event()
    thread = threading.Thread(target=Recordings(["."], CallNames(), pace=pace, max_calls=2).run, args=(queue, stop))
    thread.start()
    events: list[Event] = []
    while len(blocks_of(events)) < 2:
        events += queue.take(1)
    stopped_s = time.monotonic()
    stop.set()
    thread.join()
    assert time.monotonic() - stopped_s < 0.3
    assert reasons(events + queue.take(0)) == ["stopped", "stopped"]


# Bad input


def test_every_bad_path_is_refused_by_itself_and_the_good_one_plays() -> None:
    soundfile.write("good.wav", voice(), 8_000)
    soundfile.write("three.wav", np.zeros((800, 3)), 8_000)
    soundfile.write("slow.wav", np.zeros(800), 7_999)
    soundfile.write("quick.wav", np.zeros(800), 96_000)
    soundfile.write("silent.wav", np.zeros(0), 8_000)
    Path("header.wav").write_bytes(Path("good.wav").read_bytes()[:30])
    Path("notes.wav").write_text("dear diary")
    Path("notes.mp3").write_text("dear diary\n" * 100)
    Path("empty.wav").touch()
    Path("folder").mkdir()
    os.mkfifo("pipe.wav")
    Path("reserved.wav").write_bytes(Path("good.wav").read_bytes()[:12] + bytes(100_000))
    long = "n" * 300
    bad = ["missing.wav", long, "folder", "empty.wav", "pipe.wav", "notes.wav", "notes.mp3", "header.wav", "silent.wav"]
    events = play([*bad, "reserved.wav", "three.wav", "slow.wav", "quick.wav", "good.wav"])
    kinds = ".flac, .mp3, .oga, .ogg, .opus, .wav, .wave"
    assert refusals(events) == [
        "missing.wav: cannot be opened (No such file or directory), expected a recording; check the path",
        f"{long}: cannot be opened (File name too long), expected a recording; check the path",
        f"folder: a folder without recordings, expected files named {kinds}",
        "empty.wav: empty (0 bytes), expected WAV, FLAC, OGG or MP3; copy it again",
        "pipe.wav: not a regular file, expected a recording or a folder of them",
        "notes.wav: not a recording that can be read (unknown format); expected WAV, FLAC, OGG or MP3",
        "notes.mp3: not a recording that can be read (unknown format); expected WAV, FLAC, OGG or MP3",
        "header.wav: not a recording that can be read (Error in WAV file. No 'data' chunk marker); "
        "expected WAV, FLAC, OGG or MP3",
        "silent.wav: holds no audio (0 samples), expected at least one; record or copy it again",
        "reserved.wav: not a recording that can be read (Error in WAV file. No 'data' chunk marker); "
        "expected WAV, FLAC, OGG or MP3",
        "three.wav: has 3 channels, expected 1 or 2; keep one channel a party",
        "slow.wav: sample rate is 7999 Hz, expected 8000 to 48000 Hz; resample it",
        "quick.wav: sample rate is 96000 Hz, expected 8000 to 48000 Hz; resample it",
    ]
    assert [event.call for event in opened(events)] == ["good"]
    assert reasons(events) == ["end"]


def test_a_recording_that_may_not_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    soundfile.write("call.wav", voice(), 8_000)
    monkeypatch.setattr(Path, "open", forbidden)
    assert refusals(play(["call.wav"])) == [
        "call.wav: cannot be opened (Permission denied), expected a recording; check the path"
    ]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_that_may_not_be_entered_is_refused(tmp_path: Path) -> None:
    Path("calls").mkdir()
    soundfile.write("calls/call.wav", voice(), 8_000)
    tmp_path.chmod(0o755)
    Path("calls").chmod(0o700)
    os.seteuid(65_534)
    try:
        refused = refusals(play(["calls", "calls/call.wav"]))
    finally:
        os.seteuid(0)
    assert refused == [
        "calls: cannot be listed (Permission denied), expected a folder; check its permissions",
        "calls/call.wav: cannot be opened (Permission denied), expected a recording; check the path",
    ]


def test_escape_sequences_in_a_name_are_shown_and_not_obeyed() -> None:
    name = "\x1b[31mred\u202e\n.wav"
    Path(name).write_text("text")
    (text,) = refusals(play([name]))
    assert text.startswith("\\x1b[31mred\\u202e\\n.wav: not a recording")


def test_a_truncated_wav_plays_what_it_holds_and_ends_as_an_error() -> None:
    soundfile.write("call.wav", voice(), 8_000)
    Path("cut.wav").write_bytes(Path("call.wav").read_bytes()[:5044])
    events = play(["cut.wav"])
    assert heard(events).size == 2_500
    assert reasons(events) == [
        "error: cut.wav: truncated: its header promises 8000 bytes of audio, it holds 5000; copy it again"
    ]


@pytest.mark.parametrize("pace", ["live", "fast"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 32_767.0])
def test_a_sample_that_is_none_ends_the_call_there(value: float, pace: Any) -> None:
    samples = np.stack([voice(), voice()], axis=1)
    samples[2_000, 1] = value
    soundfile.write("call.wav", samples, 8_000, subtype="FLOAT")
    events = play(["call.wav"], pace)
    assert np.array_equal(heard(events, "agent"), voice()[:2_000])
    assert np.array_equal(heard(events, "customer"), voice()[:2_000])
    assert reasons(events) == [
        f"error: call.wav: the sample at 0.25 s is {value:g}, expected numbers within ±1; export it again"
    ]


@pytest.mark.parametrize("pace", ["live", "fast"])
def test_a_broken_flac_plays_up_to_the_break(pace: Any) -> None:
    soundfile.write("call.flac", voice(2.0), 8_000)
    flac = bytearray(Path("call.flac").read_bytes())
    flac[-len(flac) // 4 :] = bytes(len(flac) // 4 + 1)
    Path("call.flac").write_bytes(flac)
    events = play(["call.flac"], pace)
    played = heard(events)
    assert played.size == 8_192  # two of FLAC's frames of 4,096
    assert np.abs(played - voice(2.0)[: played.size]).max() < 1e-4
    assert reasons(events) == [
        "error: call.flac: cannot be decoded from 1.02 s on (flac decoder lost sync), "
        "expected sound audio; copy it again"
    ]


def test_an_mp3_that_was_cut_off_ends_as_an_error() -> None:
    soundfile.write("call.mp3", voice(4.0), 8_000)
    mp3 = Path("call.mp3").read_bytes()
    Path("call.mp3").write_bytes(mp3[: len(mp3) // 2])
    (reason,) = reasons(play(["call.mp3"]))
    assert reason.startswith("error: call.mp3: holds ")
    assert reason.endswith(" s of audio, its header promises 4.00 s; copy it again")
