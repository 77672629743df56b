"""Finished trainings that another starts from, learns from or is calibrated like; and when it may not."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from monitor.errors import ModelError
from monitor.features import BANDS, Normalisation
from monitor.messages import LABELS
from monitor.model import EmotionModel
from train.corpus import CorpusError
from train.live import with_meaning
from train.split import Split

if TYPE_CHECKING:
    from train.scoring import Predict

WEIGHTS, MEANING = "last.keras", "meaning.json"
"""Files of a checkpoint's folder."""
CALIBRATED_BY = ("calibrated_like", "calibrated_through")
"""Of a model file's training: where its calibration came from, where that is not the tuning actors alone."""
LINEAGE = ("schedule", "started_from", "teachers")
"""What a meaning says of one training; of a mean of several `averaged` says who they are instead."""


def load_checkpoint(folder: Path) -> tuple[Any, dict[str, Any]]:
    """A network that takes three seconds and gives the emotion, and its meaning, as `fit` or `export` left them in `folder`.

    Raises `CorpusError` or `ModelError`.
    """
    folder = folder.parent if folder.is_file() else folder
    files = [folder / name for name in (WEIGHTS, MEANING)]
    if missing := [path.name for path in files if not path.is_file()]:
        raise CorpusError(
            f"{folder} has no {', '.join(missing)}, expected a training's folder: run `python -m train fit` first"
        )
    import keras

    from train.network import Architecture, rebuilt

    try:
        meaning: dict[str, Any] = json.loads(files[1].read_text(encoding="utf-8"))
        network = keras.models.load_model(files[0], compile=False)
    except (ValueError, OSError, TypeError, KeyError) as error:
        raise ModelError(
            f"{files[0]} is no network of this version ({error}), expected one by `fit`: train again"
        ) from error
    try:
        return rebuilt(network, Architecture(**meaning["architecture"])), meaning
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{files[0]} takes and gives {network.input_shape}, {network.output_shape}, expected (batch, frames, {BANDS}), "
            f"(batch, {len(LABELS)}) and the sizes of meaning.json: train again"
        ) from error


def averaged(folders: Sequence[Path]) -> tuple[Any, dict[str, Any]]:
    """The network whose weights are the mean of those of the checkpoints in `folders`, and its meaning: that of the last one, but
    for who they all are. Trainings that began from the same network lie near each other, and their mean is steadier than each
    (model soups, Wortsman et al. 2022).

    Raises `CorpusError` for fewer than two, the same one twice, another architecture, other speakers or features than the first
    one's, and where they did not begin from one network, which may be among them.
    """
    if len(folders) < 2:
        raise CorpusError(f"{len(folders)} checkpoint named, expected two or more: a mean needs several")
    loaded = [load_checkpoint(folder) for folder in folders]
    digests = [weights_digest(network) for network, _ in loaded]
    if len(set(digests)) < len(folders):
        raise CorpusError("a checkpoint is named twice, expected each once: leave one out")
    network, first = loaded[0]
    for folder, (_, other) in zip(folders, loaded, strict=True):
        for name, got, expected in _in_common(other, first):
            if got != expected:
                raise CorpusError(
                    f"{folder} has other {name} than {folders[0]}, expected the same: name trainings of one network"
                )
    if not _began_alike(digests, [_origin(meaning) for _, meaning in loaded]):
        raise CorpusError(
            "the checkpoints began from different networks, expected all from one (`fit --from`), or that one too: name those"
        )
    parts = [described(*one) for one in loaded]
    network.set_weights([np.mean(rows, axis=0) for rows in zip(*(own.get_weights() for own, _ in loaded), strict=True)])
    last = loaded[-1][1]
    return network, {name: value for name, value in last.items() if name not in LINEAGE} | {"averaged": parts}


def _in_common(other: Mapping[str, Any], first: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What two trainings must have alike for their mean: name, the one's, the other's."""
    speakers = [[meaning["split"][part] for part in ("fitted", "tuning", "validation")] for meaning in (other, first)]
    yield "sizes", other["architecture"], first["architecture"]
    yield "speakers", *speakers
    yield "features", (other["floor_db"], other["spectrum"]), (first["floor_db"], first["spectrum"])
    yield "data", other.get("data"), first.get("data")


def _began_alike(digests: Sequence[str], origins: Sequence[str | None]) -> bool:
    """Whether there is one network that every training began from, or is."""
    pairs = list(zip(digests, origins, strict=True))
    return any(all(root in pair for pair in pairs) for root in {*digests, *origins} - {None})


def _origin(meaning: Mapping[str, Any]) -> str | None:
    """Digest of the weights from which a training began; None where it began from nothing, or its version did not say."""
    origin = meaning.get("started_from")
    return origin["sha256"] if isinstance(origin, dict) else None


def described(network: Any, meaning: Mapping[str, Any]) -> str:
    """A checkpoint in words, for what comes of it: the beginning of its digest, and how it was trained."""
    if parts := meaning.get("averaged"):
        words = f"the mean of {len(parts)}"
    else:
        words = f"epochs {meaning['schedule']['epochs']}, seed {meaning['schedule']['seed']}"
        words += f", teachers {len(teachers)}" if (teachers := meaning.get("teachers")) else ""
        words += f", from {origin[:12]}" if (origin := _origin(meaning)) else ""
    return f"{weights_digest(network)[:12]}: {words}"


def save_checkpoint(network: Any, meaning: Mapping[str, Any], folder: Path) -> None:
    """For `load_checkpoint`."""
    folder.mkdir(parents=True, exist_ok=True)
    network.save(folder / WEIGHTS)
    (folder / MEANING).write_text(json.dumps(meaning, indent=1), encoding="utf-8")


def normalisation(meaning: Mapping[str, Any]) -> Normalisation:
    """Of the features that a checkpoint of this meaning reads."""
    return Normalisation(meaning["floor_db"], np.array(meaning["spectrum"], np.float32))


def digest(path: Path) -> str:
    """SHA-256 of a model file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def weights_digest(network: Any) -> str:
    """SHA-256 of a network's weights, in order: the same in whatever file, which says when it was written."""
    whole = hashlib.sha256()
    for array in network.get_weights():
        whole.update(np.ascontiguousarray(array, "<f4").tobytes())
    return whole.hexdigest()


def refuse_known(name: str, fitted: Iterable[str], split: Split) -> None:
    """Raises `CorpusError` where `fitted` are some whom a training under `split` is calibrated or measured on."""
    if others := sorted(set(fitted) & {*split.tuning, *split.validation}):
        raise CorpusError(
            f"{name} was fitted on {', '.join(others[:3])}, who are kept from fitting here: expected one of the same split "
            "(`--with-tuning`, if it knows the tuning actors)"
        )


class Teacher(NamedTuple):
    """A finished network whom another learns from."""

    path: Path
    predict: "Predict"
    normalisation: Normalisation
    """Of the features that it reads."""
    digest: str
    """SHA-256 of its model file, or of its weights."""


def open_teacher(path: Path, split: Split) -> Teacher:
    """A model file's or a training's network. Raises `CorpusError` for one that knows people whom the pupil is measured on."""
    if path.suffix == ".onnx":
        model = EmotionModel(path)
        features, fitted = model.meaning.features, model.meaning.training["fitted"]
        own = Normalisation(features.floor_db, np.array(features.spectrum, np.float32))
        predict, own_digest = model.predict, digest(path)
    else:
        from train.fit import predictor

        network, meaning = load_checkpoint(path)
        fitted, own, predict = meaning["split"]["fitted"], normalisation(meaning), predictor(network)
        own_digest = weights_digest(network)
    refuse_known(f"teacher {path}", fitted, split)
    return Teacher(path, predict, own, own_digest)


def refuse_other_features(teachers: Sequence[Teacher], pupil: Normalisation) -> None:
    """Raises `CorpusError` for a teacher whose features are not the pupil's."""
    for path, _, own, _ in teachers:
        if own.floor_db != pupil.floor_db or not np.allclose(own.spectrum, pupil.spectrum, atol=1e-8):
            raise CorpusError(
                f"teacher {path} reads other features, expected one fitted on the same clips as the others: train it again"
            )


def calibrated_like(model: EmotionModel, like: EmotionModel) -> EmotionModel:
    """`model` with the calibration, baseline, thresholds and moods of another. Raises `CorpusError` for one of another shape, for
    itself, and for one that was calibrated on somebody whom `model` is measured on."""
    if like.path.samefile(model.path):
        raise CorpusError(f"{like.path} is the model itself, expected another file: name the one to take over from")
    _refuse_other_recipe(like, model)
    if not np.allclose(like.meaning.features.spectrum, model.meaning.features.spectrum, atol=1e-8):
        raise CorpusError(
            f"{like.path} reads other features, expected one fitted on the same clips: name a model of the same recipe"
        )
    tuned, validated = tuned_actors(like), model.meaning.training.get("validated") or ()
    if known := sorted(set(tuned) & set(map(str, validated))):
        raise CorpusError(
            f"{like.path} was calibrated on {', '.join(known[:3])}, on whom {model.path} is measured: name one of the same split"
        )
    taken = {name: getattr(like.meaning, name) for name in ("calibration", "baseline", "thresholds", "moods")}
    return calibrated_by("calibrated_like", with_meaning(model, **taken), digest(like.path), tuned)


def calibrated_by(how: str, model: EmotionModel, networks: str | list[str], tuned: Sequence[str]) -> EmotionModel:
    """`model`, saying which files its calibration is of and on whom it was fitted; `how` is one of `CALIBRATED_BY`."""
    training = {name: value for name, value in model.meaning.training.items() if name not in CALIBRATED_BY}
    return with_meaning(model, training=training | {how: {"networks": networks, "tuned": list(tuned)}})


def calibrated_on(model: EmotionModel) -> set[str]:
    """Everybody on whom a model's calibration was fitted, by whatever network."""
    training = model.meaning.training
    told = [training.get(how, {}).get("tuned", ()) for how in CALIBRATED_BY] + [training.get("tuned") or ()]
    return {str(actor) for actors in told for actor in actors}


def _refuse_other_recipe(other: EmotionModel, model: EmotionModel) -> None:
    """Raises `CorpusError` where `other` is of another shape: its calibration would not be worth the same."""
    for name, got, expected in (
        ("parameters", other.meaning.parameters, model.meaning.parameters),
        ("features.floor_db", other.meaning.features.floor_db, model.meaning.features.floor_db),
    ):
        if got != expected:
            raise CorpusError(
                f"{other.path} has {name} {got:g}, expected {expected:g}: name a model of the same recipe"
            )


def held_out(networks: Sequence[EmotionModel], model: EmotionModel) -> list[list[str]]:
    """Of each of the folds of a cross-validation the actors that it was measured on, without those that `model` is measured on.
    Raises `CorpusError` for networks of another recipe, a file that is named twice or says nothing of its split, an actor in two
    folds, and a fold in which nobody is left."""
    kept, seen = set(map(str, model.meaning.training.get("validated") or ())), dict[str, Path]()
    rows, named = [], set[Path]()
    for network in networks:
        if network.path.samefile(model.path):
            raise CorpusError(f"{network.path} is the model itself, expected others: name the models of folds")
        if network.path.resolve() in named:
            raise CorpusError(f"{network.path} is named twice, expected each once: leave one out")
        named.add(network.path.resolve())
        _refuse_other_recipe(network, model)
        if not (validated := network.meaning.training.get("validated")):
            raise CorpusError(
                f"{network.path} does not say whom it was validated on, expected a fold's model: name one"
            )
        if not (own := [str(actor) for actor in validated if str(actor) not in kept]):
            raise CorpusError(
                f"{network.path} leaves out nobody but whom {model.path} is measured on, expected others: name a fold's model"
            )
        for actor in own:
            if actor in seen:
                raise CorpusError(
                    f"actor {actor} is left out of {seen[actor]} and {network.path}, expected each of one: name folds of one "
                    "cross-validation"
                )
            seen[actor] = network.path
        rows.append(own)
    return rows


def tuned_actors(like: EmotionModel) -> list[str]:
    """Whom a model was calibrated on. Raises `CorpusError` where it was itself calibrated like another, or not at all."""
    if "calibrated_like" in like.meaning.training:
        raise CorpusError(f"{like.path} has its calibration from another file, expected that one: name it")
    if through := like.meaning.training.get("calibrated_through"):
        return [str(actor) for actor in through["tuned"]]
    if not (actors := like.meaning.training.get("tuned")):
        raise CorpusError(
            f"{like.path} was calibrated on nobody, expected a model that was trained without its tuning actors"
        )
    return [str(actor) for actor in actors]
