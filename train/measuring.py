"""What the measuring commands do, without the command line. None of them needs TensorFlow, split.json or demographics."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monitor.errors import ModelError
from monitor.messages import LABELS, Party
from monitor.model import EmotionModel
from monitor.settings import Settings
from train import calls, evaluate, folds
from train.ablations import read_ablations
from train.call_folder import read_folder, tell, tell_calm, tell_stitched
from train.card import write_card
from train.checkpoint import calibrated_on
from train.corpus import Clip, Corpus, CorpusError, load_corpus
from train.progress import console, working
from train.recordings import load_recordings
from train.scoring import Condition
from train.stitch import KINDS, stitched, write_calls

EVALUATION, BASELINE, CARD = "evaluation.json", "baseline.json", "MODEL_CARD.md"
GROUPED_IN = "mulaw"
"""The condition under which sexes and ages are told apart."""
SEED = 1


def actor_ids(text: str) -> tuple[str, ...]:
    """Actors from `1001,1002` or from a file with one a line or commas between. Raises `CorpusError` for none."""
    path = Path(text)
    content = path.read_text(encoding="utf-8") if path.is_file() else text
    ids = tuple(dict.fromkeys(content.replace(",", " ").split()))
    if not ids or any("/" in name or name.endswith((".txt", ".csv", ".json")) for name in ids):
        raise CorpusError(f"--actors is {text!r}, expected ids with commas between, or a file of them that is there")
    return ids


def load(cremad: Path | None, data: Path | None, actors: Sequence[str] | None = None) -> Corpus:
    """The corpus of `--cremad` or of `--data`; of `actors` only where they are given. Raises `CorpusError`."""
    if (cremad is None) == (data is None):
        raise CorpusError("expected either --cremad DIR or --data LABELS.csv, got both or neither: give one")
    corpus = load_recordings(data) if data else load_corpus(cremad, actors)  # type: ignore[arg-type]
    if actors is None:
        return corpus
    names = [name for name in corpus.dropped if data or name.split("_")[0] in actors]
    return Corpus(corpus.of(actors), {name: corpus.dropped[name] for name in names})


def named_actors(model: EmotionModel, name: str) -> tuple[str, ...]:
    """The actors that a model file says it was `fitted`, `tuned` or `validated` on. Raises `ModelError` where it does not."""
    actors = model.meaning.training.get(name)
    if not isinstance(actors, list) or not actors:
        raise ModelError(
            f"{model.path} does not say which actors it was {name} on, expected it to: name them by --actors"
        )
    return tuple(map(str, actors))


def measure(
    cremad: Path | None,
    data: Path | None,
    actors: Sequence[str] | None,
    model: EmotionModel,
    condition: Condition,
    predictions: Path | None,
) -> dict[str, Any]:
    """One condition's figures, `changed` and `dropped`; by default of the actors that the model was validated on."""
    chosen = tuple(actors or named_actors(model, "validated"))
    known = set(map(str, model.meaning.training.get("fitted") or ())) | calibrated_on(model)
    if learnt := [actor for actor in chosen if actor in known]:
        console.print(f"{len(learnt)} of these actors were fitted or tuned on: the figure flatters", highlight=False)
    corpus = load(cremad, data, chosen)
    with working("clips"):
        scores = evaluate.evaluate(model, corpus.clips, {"asked": condition})
    if predictions:
        folds.write_predictions(predictions, corpus.clips, scores["asked"])
    row = evaluate.measure(scores["asked"], corpus.clips, model.meaning.calibration)
    row |= {"changed": evaluate.changed(scores["asked"], scores["clean"]), "dropped": corpus.dropped}
    return {name: row[name] for name in evaluate.MEASURES}


def report(
    cremad: Path | None, data: Path | None, model: EmotionModel, models: Path, calm: Path | None, each: int
) -> dict[str, Any]:
    """Everything about the validated actors; written to `models` with its pictures and the model card's figures."""
    corpus = load(cremad, data, named_actors(model, "validated"))
    clips = corpus.clips
    with working("clips") as told:
        scores = evaluate.evaluate(model, clips, evaluate.CONDITIONS, told)
    conditions = evaluate.figures(scores, clips, model.meaning.calibration)
    with working("pseudo-calls"):
        pseudo = calls.call_measures(list(tell_stitched(stitched(clips, each, SEED), model)))
    bins = evaluate.reliability_bins(scores["clean"], clips)
    found = {
        "model": f"{model.meaning.name} {model.meaning.version}",
        "protocol": f"actors {', '.join(corpus.actors)}; none of them fitted or tuned on; "
        f"split: {model.meaning.training.get('split', 'unknown')}",
        **conditions["clean"],
        "dropped": corpus.dropped,
        "labels": list(LABELS),
        "conditions": conditions,
        "reliability": bins,
        "ece_by_chance": evaluate.ece_by_chance(bins),
        f"sexes_{GROUPED_IN}": evaluate.by_group(scores[GROUPED_IN], clips, lambda clip: clip.sex),
        f"ages_{GROUPED_IN}": evaluate.by_group(scores[GROUPED_IN], clips, evaluate.age_group),
        "pseudo_calls": pseudo,
        "calm_calls": _calm(calm, model) if calm else None,
        "beside": _beside(models / BASELINE),
        "ablations": kept_ablations(model),
        "parameters": model.meaning.parameters,
        "mflop": model.meaning.mflop,
    }
    _write(found, models)
    return found


def _calm(folder: Path, model: EmotionModel) -> dict[str, Any]:
    """Labels and alerts of every party of recordings in which nobody is angry."""
    rows = {}
    with working("calm calls"):
        for told in tell_calm(folder, model):
            measured = calls.call_measures([told])
            shares = {name: measured[name] for name in ("labelled", "anger_among_labelled")}
            rows[told.call] = shares | {"alerts": len(told.raised())}
    return rows


def _beside(baseline: Path) -> dict[str, Any] | None:
    """The article's recipe, under whole actors and under its own random split, which leaks; None where it was not measured."""
    if not baseline.is_file():
        return None
    article = json.loads(baseline.read_text(encoding="utf-8"))["article"]
    names = {"article_whole_actors": "whole actors out", "article_random_split_leaky": "random split (leaky)"}
    return {
        name: {figure: article[key][figure] for figure in ("clips", "accuracy", "uar")} for name, key in names.items()
    }


def kept_ablations(model: EmotionModel) -> dict[str, Any] | None:
    """The ablations that are kept; None where there are none, or of actors that are not the model's."""
    found = read_ablations(folds.EXPERIMENTS)
    parts = (model.meaning.training.get(part) or () for part in ("fitted", "tuned", "validated"))
    known = {str(actor) for part in parts for actor in part}
    if found is None or not known.issuperset(found["split"]["fitted"] + found["split"]["validation"]):
        return None
    return found | {"split": found["split"]["source"]}


def _write(found: Mapping[str, Any], models: Path) -> None:
    from train import plots

    models.mkdir(parents=True, exist_ok=True)
    (models / EVALUATION).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    conditions = found["conditions"]
    plots.draw_confusion({name: conditions[name]["confusion"] for name in ("clean", "mulaw")}, models / "confusion.png")
    plots.draw_coverage({name: conditions[name] for name in ("clean", "mulaw", "floor_20")}, models / "coverage.png")
    plots.draw_conditions(conditions, models / "conditions.png")
    plots.draw_reliability(found["reliability"], models / "reliability.png")
    write_card(found, models / CARD)


def stamp(found: Mapping[str, Any], model: EmotionModel) -> None:
    """The figures of a report go into the model's file."""
    from train.calibrate import write_meaning
    from train.live import with_meaning

    scores = {name: found[name] for name in ("protocol", "clips", "actors")}
    scores |= {name: found[name] for name in ("uar", "uar_low", "uar_high", "accuracy", "accuracy_60", "ece")}
    scores |= {f"uar_{name}": row["uar"] for name, row in found["conditions"].items() if name != "clean"}
    write_meaning(with_meaning(model, scores=scores), model.path)


def stitch(
    cremad: Path | None, data: Path | None, actors: Sequence[str], out: Path, each: int, seed: int
) -> Mapping[str, int]:
    """Pseudo-calls of `actors` into a folder; returns how many of each kind."""
    corpus = load(cremad, data, actors)
    counts = write_calls(stitched(corpus.clips, each, seed), out)
    if not counts:
        raise CorpusError(
            f"no call can be stitched of actors {', '.join(actors)}, expected clips for one of {', '.join(KINDS)}"
        )
    return counts


def measure_calls(folder: Path, model: EmotionModel, settings: Settings) -> dict[str, Any]:
    """The measures of a folder of labelled calls, and the rows of its labels.csv that do not count."""
    read: list[Party] = ["customer"]
    read += ["agent"] if settings.score_agent else []
    read += ["mixed"] if settings.score_mixed else []
    found = read_folder(folder, read)
    with working("calls"):
        return calls.call_measures(list(tell(found, model, settings))) | {"dropped": found.dropped}


def tuning_clips(
    cremad: Path | None, data: Path | None, actors: Sequence[str] | None, model: EmotionModel
) -> tuple[Clip, ...]:
    """The clips that a model is calibrated on: by default of the actors that it was tuned on."""
    return load(cremad, data, actors or named_actors(model, "tuned")).clips
