"""What the ablations differ in: each variant is the default with one thing left out, added or parted. Data, no TensorFlow."""

from dataclasses import dataclass, field

from train.batches import Schedule
from train.corpus import CorpusError
from train.dataset import Recipe
from train.evaluate import CONDITIONS
from train.scoring import Condition

SCHEDULE = Schedule(epochs=10, short_share=0.8, generations=3)
"""Of every variant alike: short, so that all of them fit into a morning."""
FOLD = 1
"""The fold whose actors are judged."""
JUDGED: dict[str, Condition] = {name: CONDITIONS[name] for name in ("clean", "snr_10")}
"""How the clips are altered before they are judged: what noise in training is worth shows in noise."""
DEFAULT = "default"
_LONGER = 5
"""Times: a network that has learnt for ten epochs does not know its speakers yet, so that nothing leaks."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One training of the ablations; fields that are not named are the default's."""

    name: str
    words: str
    """For the tables."""
    recipe: Recipe = field(default_factory=Recipe)
    """How its windows are altered."""
    asks_sex: bool = True
    """Whether the network is asked for the speaker's sex in training."""
    by_sex: bool = False
    """A network for each sex, fitted and judged on its own speakers."""
    measures: bool = False
    """Zero-crossing rate and spectral centroid beside the bands."""
    leaky: bool = False
    """Clips are held out at random, in place of actors: those judged speak in the fitted clips too, and on other clips than
    the default's."""
    times: int = 1
    """How many times the schedule's epochs."""
    further_seed: int = 0
    """Added to the schedule's seed."""

    @property
    def windows(self) -> str:
        """The variant whose windows it learns from."""
        return DEFAULT if self.recipe == Recipe() and not (self.measures or self.leaky) else self.name


VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant(DEFAULT, "the default: one network, sex as an auxiliary task"),
        Variant("default_again", "the default again, another seed: what chance does", further_seed=1),
        Variant("without_sex", "without sex as an auxiliary task", asks_sex=False),
        Variant("separate_sexes", "a network for women, another for men", by_sex=True),
        Variant("separate_sexes_longer", "the same, each with as many steps as the default", by_sex=True, times=2),
        Variant(
            "zero_crossings_and_centroid", "zero-crossing rate and spectral centroid as added inputs", measures=True
        ),
        Variant("without_noise", "without noise in training", Recipe(noisy_share=0.0)),
        Variant("without_shift", "without shifts in time and joined clips", Recipe(moved=False, joined_share=0.0)),
        Variant(
            "without_speed",
            "without changes of speed, tempo, pitch and bands",
            Recipe(voice_share=0.0, warped_share=0.0),
        ),
        Variant("default_longer", "the default, five times as long", times=_LONGER),
        Variant(
            "random_split_leaky",
            "as long, clips held out at random: leaky, not comparable",
            leaky=True,
            times=_LONGER,
        ),
    )
}
"""By name, in the order of the tables."""


def named(names: str | None) -> tuple[Variant, ...]:
    """The variants of `names`, with commas between, in the order of the tables; all without any. Raises `CorpusError`."""
    wanted = names.replace(",", " ").split() if names else list(VARIANTS)
    if not wanted or set(wanted) - set(VARIANTS):
        raise CorpusError(f"--only is {names!r}, expected some of {', '.join(VARIANTS)} with commas between")
    return tuple(variant for name, variant in VARIANTS.items() if name in wanted)
