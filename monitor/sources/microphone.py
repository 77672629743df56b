"""A microphone as one call, through PortAudio, which is loaded only where a microphone is asked for."""

import logging
import threading
import time
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from monitor.audio import SAMPLE_RATE, Block, Samples
from monitor.errors import DeviceError
from monitor.messages import Party
from monitor.sources import CallClosed, CallNames, CallOpened, Intake
from monitor.sources.audiofile import printable

logger = logging.getLogger(__name__)

_BLOCK_S = 0.02
_WATCH_S = 0.1
_SILENT_S = 3.0
"""A device that hands over nothing for so long is gone, though PortAudio has not said so."""
_SHORTEST_LOSS_S = 0.01
"""The device's clock is read with about this much jitter."""


@dataclass(frozen=True, slots=True)
class Device:
    """An input that can be listened to."""

    number: int
    """PortAudio's; it changes as devices come and go."""
    name: str
    channels: int
    """How many it has at most."""
    sample_rate: int
    """Its own, hertz."""
    default: bool
    """Whether it is taken where none is named."""

    def __str__(self) -> str:
        star = "*" if self.default else " "
        return f"{star} {self.number}  {self.name}  ({self.channels} in, {self.sample_rate} Hz)"


def devices() -> list[Device]:
    """The inputs of this machine. Raises DeviceError without PortAudio, or where there is none."""
    return _inputs(_portaudio())


class Microphone:
    """One input as one call, until it is stopped or unplugged: a `Source`.

    Unnamed it is one channel, the customer. It never waits: a block that finds the queue full pushes the oldest out.
    """

    def __init__(
        self,
        device: int | str | None,
        channels: tuple[Party, ...] | None,
        names: CallNames,
        agent: str | None = None,
    ) -> None:
        """`agent`: the id of the agent whose microphone it is."""
        self._wanted = device
        self._agent = agent
        self._channels = channels
        self._names = names

    def run(self, queue: Intake, stop: threading.Event) -> None:
        """Listen until `stop` is set. Raises DeviceError where there is nothing to listen to."""
        portaudio = _portaudio()
        device = _find(_inputs(portaudio), self._wanted)
        parties = self._parties()
        sample_rate = _sample_rate(portaudio, device, len(parties))
        capture = _Capture(self._names.take("microphone"), parties, sample_rate, queue)
        stream = _open(portaudio, device, capture)
        channels = {party: channel for channel, party in enumerate(parties)}
        queue.put(CallOpened(capture.call, "microphone", None, channels, agent=self._agent))
        logger.info("%s: listening to %s at %d Hz", capture.call, device.name, sample_rate)
        try:
            stream.start()
            reason = _listen(stream, device, capture, stop)
        except portaudio.PortAudioError as error:
            reason = f"error: {_refused(device, error)}"
        finally:
            stream.close(ignore_errors=True)
        fault = DeviceError(reason.removeprefix("error: ")) if reason.startswith("error: ") else None
        queue.put(CallClosed(capture.call, reason, fault))
        capture.log_losses()

    def _parties(self) -> tuple[Party, ...]:
        if self._channels:
            return self._channels
        logger.warning("the microphone is taken as the customer; name it otherwise with --channels agent or mixed")
        return ("customer",)


class _Capture:
    """PortAudio's callback: it copies and puts. Runs in PortAudio's thread."""

    def __init__(self, call: str, parties: tuple[Party, ...], sample_rate: int, queue: Intake) -> None:
        self.call = call
        self.parties = parties
        self.sample_rate = sample_rate
        self.heard_s = time.monotonic()
        """Monotonic clock when the device last handed something over."""
        self.overflows = 0
        """How often the device lost audio before it came here."""
        self.lost_s = 0.0
        """How much of it the clocks tell; each loss of that kind is a gap in the call."""
        self._queue = queue
        self._began_s: float | None = None
        self._next = 0
        self._next_adc_s = 0.0

    def __call__(self, frames: Samples, count: int, clock: Any, status: Any) -> None:
        """`frames` is (count, channels) and PortAudio's again afterwards."""
        self.heard_s = time.monotonic()
        if status.input_overflow:
            self._skip_lost(clock.inputBufferAdcTime, count)
        for channel, party in enumerate(self.parties):
            samples = frames[:, channel].copy()
            self._queue.put(Block(self.call, party, self._next, self.sample_rate, samples, self.heard_s))
        self._next += count
        self._next_adc_s = clock.inputBufferAdcTime + count / self.sample_rate
        self._began_s = self._began_s or self.heard_s - count / self.sample_rate

    def _skip_lost(self, adc_s: float, count: int) -> None:
        """Jump over what is missing before these `count` samples, the first of which the device took at `adc_s`.

        PortAudio flags an overflow and does not say how long it was. The device's clock tells; where it has none (0)
        ours does, which the call may not run ahead of.
        """
        self.overflows += 1
        if self._began_s is None:
            return
        behind_s = self.heard_s - self._began_s - (self._next + count) / self.sample_rate
        lost_s = min(adc_s - self._next_adc_s, behind_s) if adc_s else behind_s
        if lost_s >= _SHORTEST_LOSS_S:
            self.lost_s += lost_s
            self._next += round(lost_s * self.sample_rate)

    def log_losses(self) -> None:
        """Say at the end what never arrived."""
        if self.overflows:
            text = "%s: the device overflowed %d×, at least %.2f s of audio lost; close what keeps this machine busy"
            logger.warning(text, self.call, self.overflows, self.lost_s)


def _portaudio() -> ModuleType:
    try:
        import sounddevice
    except OSError as error:
        cure = "install it, for example `apt install libportaudio2` or `brew install portaudio`"
        raise DeviceError(f"PortAudio, which microphones need, is missing ({error}); {cure}") from error
    portaudio: ModuleType = sounddevice
    return portaudio


def _inputs(portaudio: ModuleType) -> list[Device]:
    default = portaudio.default.device[0]
    found = [
        Device(i, printable(d["name"]), d["max_input_channels"], round(d["default_samplerate"]), i == default)
        for i, d in enumerate(portaudio.query_devices())
        if d["max_input_channels"] > 0
    ]
    if not found:
        raise DeviceError("no microphone was found, expected an input; plug one in: `callmood devices` lists them")
    return found


def _find(inputs: list[Device], wanted: int | str | None) -> Device:
    """The input that `wanted` means: a number, its name or a part of it; None is the default, else the first."""
    if wanted is None:
        return next((device for device in inputs if device.default), inputs[0])
    text = str(wanted).strip().lower()
    if text.isdecimal():
        found = [device for device in inputs if device.number == int(text)]
    else:
        found = [device for device in inputs if text in device.name.lower()]
        found = [device for device in found if device.name.lower() == text] or found
    if len(found) == 1:
        return found[0]
    means = f"means {len(found)} of them" if found else "is none of them"
    raise DeviceError(f"microphone {str(wanted)!r} {means}, expected a number or name from `callmood devices`")


def _sample_rate(portaudio: ModuleType, device: Device, channels: int) -> int:
    """The rate to listen at: ours where the device does it, else its own."""
    try:
        portaudio.check_input_settings(device.number, channels, "float32", samplerate=SAMPLE_RATE)
    except portaudio.PortAudioError:
        return device.sample_rate
    return SAMPLE_RATE


def _open(portaudio: ModuleType, device: Device, capture: _Capture) -> Any:
    """An input stream that has not begun. Raises DeviceError."""
    channels = len(capture.parties)
    if channels > device.channels:
        named = f"--channels names {channels} ({','.join(capture.parties)})"
        raise DeviceError(f"{device.name}: has {device.channels} channel, but {named}; name one party a channel")
    try:
        return portaudio.InputStream(
            device=device.number,
            channels=channels,
            samplerate=capture.sample_rate,
            blocksize=round(capture.sample_rate * _BLOCK_S),
            dtype="float32",
            callback=capture,
        )
    except portaudio.PortAudioError as error:
        raise DeviceError(_refused(device, error)) from error


def _refused(device: Device, error: Exception) -> str:
    reason = printable(" ".join(str(error).split()))
    return f"{device.name}: cannot be listened to ({reason}), expected a microphone that is free and permitted"


def _listen(stream: Any, device: Device, capture: _Capture, stop: threading.Event) -> str:
    """Wait for the end of the call, and say why it ended."""
    while not stop.wait(_WATCH_S):
        if not stream.active or time.monotonic() - capture.heard_s > _SILENT_S:
            return f"error: {device.name}: hands over no more audio, expected a microphone that stays; plug it in again"
    return "stopped"
