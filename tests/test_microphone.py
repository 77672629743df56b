import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from monitor.audio import Block
from monitor.errors import DeviceError
from monitor.sources import BlockQueue, CallClosed, CallNames, CallOpened, Event, microphone
from monitor.sources.microphone import Microphone, devices
from tests.ungathered import UngatheredQueue

BLOCK_S = 0.02
Buffer = tuple[float, bool]
"""When the device took the first sample (seconds of its clock), and whether it lost audio before it."""


class PortAudioError(Exception):
    pass


class FakePortAudio:
    """As much of sounddevice as the microphone uses. Its stream hands over `buffers` at once and then stops."""

    PortAudioError = PortAudioError

    def __init__(self, names: Iterable[str] = ("USB headset",), rates: Iterable[int] = (8_000, 44_100)) -> None:
        self.default = SimpleNamespace(device=[0, 0])
        self.rates = list(rates)
        self.names = list(names)
        self.buffers: list[Buffer] = [(1.0 + BLOCK_S * i, False) for i in range(3)]
        self.before_buffer: Callable[[int], None] = lambda _: None
        self.refusal = ""
        self.stays = False

    def query_devices(self) -> list[dict[str, Any]]:
        inputs = [{"name": name, "max_input_channels": 1, "default_samplerate": 44_100.0} for name in self.names]
        return [*inputs, {"name": "loudspeaker", "max_input_channels": 0, "default_samplerate": 48_000.0}]

    def check_input_settings(self, device: int, channels: int, dtype: str, samplerate: int) -> None:  # noqa: ARG002
        if samplerate not in self.rates:
            raise PortAudioError("Invalid sample rate")

    def InputStream(self, *, callback: Any, samplerate: int, blocksize: int, **_: Any) -> Any:  # noqa: N802
        if self.refusal:
            raise PortAudioError(self.refusal)
        stream = SimpleNamespace(active=True, samplerate=samplerate, close=lambda ignore_errors: ignore_errors)
        stream.start = lambda: self._hand_over(stream, callback, blocksize)
        return stream

    def _hand_over(self, stream: Any, callback: Any, blocksize: int) -> None:
        buffer = np.empty((blocksize, 1), np.float32)
        for number, (adc_s, overflow) in enumerate(self.buffers):
            self.before_buffer(number)
            buffer[:] = number + 1
            clock = SimpleNamespace(inputBufferAdcTime=adc_s)
            callback(buffer, blocksize, clock, SimpleNamespace(input_overflow=overflow))
        stream.active = self.stays


@pytest.fixture
def portaudio(monkeypatch: pytest.MonkeyPatch) -> FakePortAudio:
    fake = FakePortAudio()
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


@pytest.fixture
def seconds(portaudio: FakePortAudio, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the monotonic clock shows at each buffer."""
    now = [100.0]
    shown: list[float] = []
    portaudio.before_buffer = lambda number: now.__setitem__(0, shown[number])
    monkeypatch.setattr(microphone, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return shown


def listen(device: Any = None, channels: Any = None, limit_s: float = 60.0) -> list[Event]:
    queue = UngatheredQueue(limit_s)
    Microphone(device, channels, CallNames()).run(queue, threading.Event())
    return queue.take(0)


def starts(events: list[Event]) -> list[int]:
    return [event.start for event in events if isinstance(event, Block)]


# What there is


def test_the_inputs_are_listed_with_the_default_marked(portaudio: FakePortAudio) -> None:
    portaudio.names = ["USB headset", "webcam \x1b[2J"]
    assert [str(device) for device in devices()] == [
        "* 0  USB headset  (1 in, 44100 Hz)",
        "  1  webcam \\x1b[2J  (1 in, 44100 Hz)",
    ]


def test_without_portaudio_the_cure_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(DeviceError) as raised:
        listen()
    assert str(raised.value) == (
        "PortAudio, which microphones need, is missing (PortAudio library not found); "
        "install it, for example `apt install libportaudio2` or `brew install portaudio`"
    )


def test_without_a_microphone_the_cure_is_said(portaudio: FakePortAudio) -> None:
    portaudio.names = []
    with pytest.raises(DeviceError) as raised:
        listen()
    assert str(raised.value) == (
        "no microphone was found, expected an input; plug one in: `callmood devices` lists them"
    )


def test_nothing_of_portaudio_is_loaded_before_a_microphone_is_opened() -> None:
    code = "import sys, monitor.sources.microphone; sys.exit('sounddevice' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1]).returncode == 0


# Which is taken


@pytest.mark.parametrize("wanted", [1, "1", "webcam", "WEBCAM", "Webcam C270"])
def test_a_microphone_is_taken_by_number_or_part_of_its_name(
    portaudio: FakePortAudio, wanted: int | str, caplog: Any
) -> None:
    portaudio.names = (
        ["USB headset", "Webcam C270", "Webcam C270 mono"] if wanted == "Webcam C270" else ["USB", "webcam"]
    )
    with caplog.at_level(logging.INFO, "monitor.sources.microphone"):
        listen(wanted, ("customer",))
    assert caplog.messages == [f"microphone: listening to {portaudio.names[1]} at 8000 Hz"]


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ("phone", "microphone 'phone' is none of them, expected a number or name from `callmood devices`"),
        ("2", "microphone '2' is none of them, expected a number or name from `callmood devices`"),
        ("usb", "microphone 'usb' means 2 of them, expected a number or name from `callmood devices`"),
    ],
)
def test_a_microphone_that_is_not_clear_is_refused(portaudio: FakePortAudio, wanted: str, error: str) -> None:
    portaudio.names = ["USB headset", "USB webcam"]
    with pytest.raises(DeviceError) as raised:
        listen(wanted)
    assert str(raised.value) == error


@pytest.mark.parametrize(("rates", "taken"), [([8_000, 44_100], 8_000), ([44_100], 44_100)])
def test_it_listens_at_8_khz_where_the_device_does_that(portaudio: FakePortAudio, rates: list[int], taken: int) -> None:
    portaudio.rates = rates
    events = listen()
    assert {event.sample_rate for event in events if isinstance(event, Block)} == {taken}


def test_a_microphone_that_is_busy_is_an_error_with_the_reason(portaudio: FakePortAudio) -> None:
    portaudio.refusal = "Error opening InputStream:\n Device unavailable [PaErrorCode -9985]"
    with pytest.raises(DeviceError) as raised:
        listen()
    assert str(raised.value) == (
        "USB headset: cannot be listened to (Error opening InputStream: Device unavailable [PaErrorCode -9985]), "
        "expected a microphone that is free and permitted"
    )


def test_more_parties_than_channels_is_an_error(portaudio: FakePortAudio) -> None:  # noqa: ARG001
    with pytest.raises(DeviceError) as raised:
        listen(channels=("agent", "customer"))
    assert str(raised.value) == (
        "USB headset: has 1 channel, but --channels names 2 (agent,customer); name one party a channel"
    )


# The call


def test_an_unnamed_microphone_is_the_customer_and_says_so(portaudio: FakePortAudio, caplog: Any) -> None:  # noqa: ARG001
    assert listen()[0] == CallOpened("microphone", "microphone", None, {"customer": 0})
    assert caplog.messages == [
        "the microphone is taken as the customer; name it otherwise with --channels agent or mixed"
    ]


def test_every_block_is_a_copy_and_follows_the_one_before(portaudio: FakePortAudio) -> None:  # noqa: ARG001
    events = listen(channels=("agent",))
    blocks = [event for event in events if isinstance(event, Block)]
    assert starts(events) == [0, 160, 320]
    assert [set(block.samples) for block in blocks] == [{1.0}, {2.0}, {3.0}]
    assert {block.party for block in blocks} == {"agent"}


def test_it_never_waits_for_a_full_queue(portaudio: FakePortAudio) -> None:
    portaudio.buffers = [(1.0 + BLOCK_S * i, False) for i in range(100)]
    assert starts(listen(limit_s=0.1))[-1] == 99 * 160


def test_a_device_that_stops_ends_the_call_as_an_error(portaudio: FakePortAudio) -> None:  # noqa: ARG001
    ended = listen()[-1]
    assert isinstance(ended, CallClosed)
    text = "USB headset: hands over no more audio, expected a microphone that stays; plug it in again"
    assert (ended.call, ended.reason) == ("microphone", f"error: {text}")
    assert isinstance(ended.fault, DeviceError)
    assert str(ended.fault) == text


def test_a_device_that_falls_silent_for_long_ends_the_call_too(
    portaudio: FakePortAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    portaudio.stays = True
    monkeypatch.setattr(microphone, "_SILENT_S", 0.0)
    assert listen()[-1].reason.startswith("error: USB headset: hands over no more audio")


def test_stop_ends_the_call(portaudio: FakePortAudio) -> None:
    portaudio.stays = True
    queue, stop = BlockQueue(60), threading.Event()
    stop.set()
    Microphone(None, None, CallNames()).run(queue, stop)
    assert queue.take(0)[-1] == CallClosed("microphone", "stopped")


# What the device lost: four buffers, the third after an overflow


def lost_before_third(portaudio: FakePortAudio, seconds: list[float], heard_s: float, adc_s: float) -> list[int]:
    """Where the blocks start when the third is handed over at `heard_s`, taken at `adc_s` of the device's clock."""
    portaudio.buffers = [(1.00, False), (1.02, False), (adc_s, True), (adc_s + BLOCK_S, False)]
    seconds[:] = [100.02, 100.04, heard_s, heard_s + BLOCK_S]
    return starts(listen())


def test_lost_audio_is_a_jump_as_long_as_the_devices_clock_says(
    portaudio: FakePortAudio, seconds: list[float], caplog: Any
) -> None:
    assert lost_before_third(portaudio, seconds, heard_s=100.60, adc_s=1.54) == [0, 160, 4320, 4480]
    assert caplog.messages[-1] == (
        "microphone: the device overflowed 1×, at least 0.50 s of audio lost; close what keeps this machine busy"
    )


def test_a_device_without_a_clock_loses_what_ours_says(portaudio: FakePortAudio, seconds: list[float]) -> None:
    assert lost_before_third(portaudio, seconds, heard_s=100.56, adc_s=0.0) == [0, 160, 4320, 4480]


def test_a_call_never_runs_ahead_of_the_clock(portaudio: FakePortAudio, seconds: list[float]) -> None:
    """The device's clock may be the wall's, which is set now and then."""
    assert lost_before_third(portaudio, seconds, heard_s=100.56, adc_s=3_600.0) == [0, 160, 4320, 4480]


@pytest.mark.parametrize("adc_s", [1.041, -3_600.0])
def test_a_loss_that_no_clock_knows_of_is_counted_all_the_same(
    portaudio: FakePortAudio, seconds: list[float], adc_s: float, caplog: Any
) -> None:
    assert lost_before_third(portaudio, seconds, heard_s=100.06, adc_s=adc_s) == [0, 160, 320, 480]
    assert "overflowed 1×, at least 0.00 s of audio lost" in caplog.messages[-1]
