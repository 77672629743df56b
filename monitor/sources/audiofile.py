"""One recording on disk: opened, checked and read from its beginning to its end."""

import mmap
import os
import stat
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import soundfile

from monitor.errors import AudioError

Channels = npt.NDArray[np.float32]
"""(channels, n) full scale ±1."""

SUFFIXES = frozenset({".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3"})
"""What tells a recording in a folder; a file that is named itself may have any suffix."""

_LOWEST_RATE, _HIGHEST_RATE = 8_000, 48_000
_FORMATS = "WAV, FLAC, OGG or MP3"
_BEGINNINGS = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS", b"ID3")
_CAPTURES = (b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x4d\x3c\xb2\xa1", b"\x0a\x0d\x0d\x0a")
"""How pcap and pcapng begin."""
_TOO_LOUD = 100.0
"""40 dB over full scale: floats that were never scaled to ±1, or no samples at all."""
_NEVER_FINISHED = 0x7FFF_0000
"""Data sizes from here on stand in headers whose writer could not go back: sox, ffmpeg or arecord into a pipe."""
_LARGEST_SIZE = 0xFFFF_FFFF
_MOST_CHUNKS = 1_000
"""Before the audio of a WAV; a file that was only reserved is all zeros, which read as chunks without end."""
_AT_ONCE = 8_192
"""Frames that are decoded in one go: some hundred microseconds."""
_MP3_SLACK_S = 0.1
"""By so much encoders differ in whether they count their padding."""


def printable(text: str) -> str:
    """`text` with control characters, escape sequences and bytes that are no text made visible, as in `\\x1b`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def look(path: str) -> str:
    """`path` again. Raises AudioError where it cannot be a recording, without opening it: a pipe would wait."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:
        raise _unopened(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise AudioError(f"{printable(path)}: not a regular file, expected a recording or a folder of them")
    if not status.st_size:
        raise AudioError(f"{printable(path)}: empty (0 bytes), expected {_FORMATS}; copy it again")
    return path


def is_capture(path: str) -> bool:
    """Whether a file is no recording but a capture of packets: see `monitor.sources.pcap`."""
    try:
        with Path(look(path)).open("rb") as file:
            return file.read(4) in _CAPTURES
    except (AudioError, OSError):
        return False


def _unopened(path: str, error: OSError | ValueError) -> AudioError:
    reason = getattr(error, "strerror", None) or error
    return AudioError(f"{printable(path)}: cannot be opened ({reason}), expected a recording; check the path")


class AudioFile:
    """An open recording. Raises AudioError, which begins with the path, for one that cannot be played at all."""

    def __init__(self, path: str) -> None:
        self._name = printable(path)
        self._cut_short: str | None = None
        self._frames_counted = False
        self._stream = self._open(path)
        self.sample_rate: int = self._stream.samplerate
        """Hertz, 8,000 to 48,000."""
        self.channels: int = self._stream.channels
        """1 or 2."""
        self.position = 0
        """Frames read so far."""
        self.fault: AudioError | None = None
        """Once it has ended: why before its end."""
        self._decoded: Channels = np.zeros((self.channels, 0), np.float32)
        self._decoded_to = 0
        self._exhausted = False
        self._check()

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self._exhausted and not self._decoded.size

    def read(self, frames: int) -> Channels:
        """The next `frames` frames, fewer only at the end; what stands before a fault is returned."""
        if self._decoded.shape[1] < frames and not self._exhausted:
            more = self._decode(max(frames, _AT_ONCE))
            self._decoded = np.concatenate([self._decoded, more], axis=1)
        ready, self._decoded = self._decoded[:, :frames], self._decoded[:, frames:]
        self.position += ready.shape[1]
        return ready

    def close(self) -> None:
        """Give the file back."""
        self._stream.close()

    def _open(self, path: str) -> "_Stream":
        try:
            with Path(look(path)).open("rb") as file:
                return _Stream(self._source(path, file))
        except OSError as error:
            raise _unopened(path, error) from error
        except soundfile.SoundFileError as error:
            text = f"not a recording that can be read ({_reason(error)}); expected {_FORMATS}"
            raise self._error(text) from error

    def _source(self, path: str, file: BinaryIO) -> "str | int | mmap.mmap":
        """What libsndfile shall read: a descriptor that it closes, or a copy in memory whose sizes are filled in."""
        head = file.read(12)
        # libsndfile believes a suffix .mp3, searches even text for MP3 frames and tells stderr about it.
        if not head.startswith(_BEGINNINGS) and not _is_mp3_frame(head):
            raise self._error(f"not a recording that can be read (unknown format); expected {_FORMATS}")
        mended = None
        if head.startswith((b"RIFF", b"RIFX")):
            mended = self._wav(file, "little" if head.startswith(b"RIFF") else "big")
        elif not head.startswith((b"fLaC", b"OggS", b"RF64")):
            self._frames_counted = _mp3_counts_frames(file)
        if mended or os.name != "posix":
            return mended or path
        # Without its name: soundfile takes a suffix .raw at its word and refuses names that are no UTF-8.
        descriptor = os.dup(file.fileno())
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    def _wav(self, file: BinaryIO, order: Literal["little", "big"]) -> mmap.mmap | None:
        """The copy, where the sizes were never filled in; remembers where there is less audio than promised."""
        start, promised = _wav_data(file, order)
        file.seek(4)
        riff_end = int.from_bytes(file.read(4), order) + 8
        size = os.fstat(file.fileno()).st_size
        if start and not promised and size > start and abs(riff_end - size) > 1:
            return _with_sizes(file, start, size, order)
        if promised < _NEVER_FINISHED and start + promised > size:
            found = f"it holds {size - start}; copy it again"
            self._cut_short = f"truncated: its header promises {promised} bytes of audio, {found}"
        return None

    def _check(self) -> None:
        if not _LOWEST_RATE <= self.sample_rate <= _HIGHEST_RATE:
            fault = f"sample rate is {self.sample_rate} Hz, expected {_LOWEST_RATE} to {_HIGHEST_RATE} Hz; resample it"
        elif self.channels > 2:
            fault = f"has {self.channels} channels, expected 1 or 2; keep one channel a party"
        elif not self._stream.frames:
            fault = self._cut_short or "holds no audio (0 samples), expected at least one; record or copy it again"
        else:
            return
        self.close()
        raise self._error(fault)

    def _decode(self, frames: int) -> Channels:
        frames_read = np.full((frames, self.channels), np.nan, np.float32)
        reason = ""
        try:
            frames_read = self._stream.read(frames, out=frames_read)
        except soundfile.SoundFileError as error:
            # What was decoded before the error stands in the array; the rest is still NaN.
            reason = _reason(error)
        good = frames_read[: _count_good(frames_read)]
        self._decoded_to += len(good)
        self._exhausted = len(good) < frames
        if self._exhausted:
            self.fault = self._why_ended(reason, frames_read[len(good) :])
        return np.ascontiguousarray(good.T)

    def _why_ended(self, reason: str, rest: npt.NDArray[np.float32]) -> AudioError | None:
        ended_s = self._decoded_to / self.sample_rate
        if reason:
            text = f"cannot be decoded from {ended_s:.2f} s on ({reason}), expected sound audio; copy it again"
            return self._error(text)
        if rest.size:
            value = next(v for v in rest[0] if not abs(v) < _TOO_LOUD)
            text = f"the sample at {ended_s:.2f} s is {value:g}, expected numbers within ±1; export it again"
            return self._error(text)
        if self._cut_short:
            return self._error(self._cut_short)
        promised_s = self._stream.frames / self.sample_rate
        if self._frames_counted and promised_s - ended_s > _MP3_SLACK_S:
            return self._error(f"holds {ended_s:.2f} s of audio, its header promises {promised_s:.2f} s; copy it again")
        return None

    def _error(self, text: str) -> AudioError:
        return AudioError(f"{self._name}: {text}")


class _Stream(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is only read onward.

    soundfile seeks after every read of a file that can; in MP3 and Opus each seek resets the decoder, and what comes
    then differs from the recording.
    """

    def seekable(self) -> bool:
        return False


def _count_good(frames: npt.NDArray[np.float32]) -> int:
    """How many frames stand before the first bad sample. Asked this way round, NaN is bad too."""
    if np.abs(frames).max(initial=0.0) < _TOO_LOUD:
        return len(frames)
    return int((~(np.abs(frames) < _TOO_LOUD).all(axis=1)).argmax())


def _reason(error: soundfile.SoundFileError) -> str:
    """What libsndfile says, without its prefixes and full stops."""
    text = str(getattr(error, "error_string", error)).removeprefix("Error : ")
    return printable(" ".join(text.split())).rstrip(".")


def _is_mp3_frame(head: bytes) -> bool:
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0


def _mp3_counts_frames(file: BinaryIO) -> bool:
    """Whether the first frame says how many follow; otherwise the length that libsndfile states is a guess."""
    file.seek(0)
    head = file.read(10)
    if head.startswith(b"ID3"):
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        file.seek(10 + size)
    first = file.read(256)
    return b"Xing" in first or b"Info" in first


def _wav_data(file: BinaryIO, order: Literal["little", "big"]) -> tuple[int, int]:
    """Where the audio of a RIFF file begins and how many bytes its header promises; 0, 0 without audio."""
    file.seek(12)
    for _ in range(_MOST_CHUNKS):
        header = file.read(8)
        size = int.from_bytes(header[4:], order)
        if header.startswith(b"data"):
            return file.tell(), size
        file.seek(size + size % 2, os.SEEK_CUR)
    return 0, 0


def _with_sizes(file: BinaryIO, start: int, size: int, order: Literal["little", "big"]) -> mmap.mmap:
    """A WAV whose writer never filled in the sizes, with the sizes; the file on disk stays as it is."""
    copy = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    copy[4:8] = min(size - 8, _LARGEST_SIZE).to_bytes(4, order)
    copy[start - 4 : start] = min(size - start, _LARGEST_SIZE).to_bytes(4, order)
    return copy
