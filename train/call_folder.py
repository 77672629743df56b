"""A folder of recorded calls and its labels.csv, through the live path."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from monitor.messages import Party
from monitor.model import EmotionModel
from monitor.settings import Settings
from train.calls import Told
from train.corpus import CorpusError
from train.labelled import CALLS, Row, listed, read_recording, read_rows
from train.live import LIVE, Recorded, heard
from train.stitch import PseudoCall, Stretch

LABELS_FILE = "labels.csv"
SUFFIXES = (".flac", ".wav", ".ogg", ".mp3")


@dataclass(frozen=True, slots=True)
class LabelledCalls:
    """What a folder holds."""

    paths: Mapping[str, Path]
    """Call → its recording."""
    rows: Mapping[tuple[str, Party], list[Row]]
    """Call and party → what is labelled, in order of time."""
    dropped: dict[str, str] = field(default_factory=dict)
    """`labels.csv:LINE` → why its row does not count."""


def read_folder(folder: Path, parties: Iterable[Party] = ("customer",)) -> LabelledCalls:
    """The labelled calls of `folder` whose `parties` are read. Raises `CorpusError` where there is none."""
    path = folder / LABELS_FILE
    if not path.is_file():
        raise CorpusError(f"no {path}, expected recordings and a {LABELS_FILE} with {','.join(CALLS.required)}")
    wrong: dict[int, str] = {}
    read, paths = set(parties), {}
    rows: dict[tuple[str, Party], list[Row]] = defaultdict(list)
    for row in sorted(read_rows(path, CALLS, wrong), key=lambda row: row.start_s):
        found = [file for suffix in SUFFIXES if (file := folder / f"{row.name}{suffix}").is_file()]
        if not found:
            wrong[row.line] = f"no recording {row.name} with {', '.join(SUFFIXES)} in {folder}"
        elif row.party not in read:
            wrong[row.line] = f"party {row.party} is not read; --set score_{row.party}=true reads it"
        else:
            paths[row.name] = found[0]
            rows[row.name, row.party].append(row)
    if not rows:
        raise CorpusError(f"no usable row in {path}: {next(iter(listed(path, wrong)), 'it has no rows')}")
    return LabelledCalls(paths, rows, dict(line.split(": ", 1) for line in listed(Path(LABELS_FILE), wrong)))


def tell(calls: LabelledCalls, model: EmotionModel, settings: Settings = LIVE) -> Iterator[Told]:
    """What the live path says of every labelled party. Raises `CorpusError` for what cannot be read."""

    def recorded() -> Iterator[Recorded]:
        for name, path in calls.paths.items():
            parties, sample_rate = read_recording(path)
            yield Recorded(name, parties, sample_rate)

    for name, messages in heard(recorded(), model, settings):
        for (call, party), rows in calls.rows.items():
            if call == name:
                speakers = {row.speaker for row in rows if row.speaker}
                speaker = speakers.pop() if len(speakers) == 1 else f"{call}/{party}"
                yield Told(call, speaker, party, tuple(_stretch(row) for row in rows), messages)


def _stretch(row: Row) -> Stretch:
    assert row.end_s is not None
    return Stretch(row.start_s, row.end_s, row.label)


def tell_stitched(calls: Iterable[PseudoCall], model: EmotionModel, settings: Settings = LIVE) -> Iterator[Told]:
    """The same of pseudo-calls that were never written."""
    kept: dict[str, PseudoCall] = {}

    def recorded() -> Iterator[Recorded]:
        for call in calls:
            kept[call.name] = call
            yield Recorded(call.name, {"customer": call.samples})

    for name, messages in heard(recorded(), model, settings):
        call = kept.pop(name)
        yield Told(name, call.speaker, "customer", call.stretches, messages)


def tell_calm(folder: Path, model: EmotionModel) -> Iterator[Told]:
    """Every party of every recording of `folder`, its whole length taken as neutral: nothing needs to be labelled."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise CorpusError(
            f"no recording in {folder}, expected some with {', '.join(SUFFIXES)} in which nobody is angry"
        )
    settings = replace(LIVE, score_agent=True)
    for path in paths:
        parties, sample_rate = read_recording(path)
        (_, messages), *_ = heard([Recorded(path.stem, parties, sample_rate)], model, settings)
        for party, samples in parties.items():
            whole = Stretch(0.0, len(samples) / sample_rate, "neutral")
            yield Told(f"{path.stem}/{party}", party, party, (whole,), messages)
