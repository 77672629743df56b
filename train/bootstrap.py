"""95 % intervals of figures when whole speakers are drawn with replacement, because what one says is alike (bootstrap, Efron
1979). Pure."""

from collections.abc import Sequence

import numpy as np

RESAMPLES = 2_000
Speakers = Sequence[str] | np.ndarray
"""(n,) who speaks each of n things."""


def draws(speakers: int) -> np.ndarray:
    """(RESAMPLES, speakers) how often each is drawn when as many are as there are: the same for the same number."""
    drawn = np.random.default_rng(0).integers(speakers, size=(RESAMPLES, speakers))
    counts = np.zeros((RESAMPLES, speakers), np.float32)
    np.add.at(counts, (np.arange(RESAMPLES)[:, None], drawn), 1.0)
    return counts


def weights(speakers: Speakers) -> np.ndarray:
    """(n,) who speaks each of n things → (RESAMPLES, n) how often each thing counts."""
    names, places = np.unique(np.asarray(speakers), return_inverse=True)
    return draws(len(names))[:, places]


def resampled_sums(speakers: Speakers, values: np.ndarray) -> np.ndarray:
    """(n, …) `values` of so many speakers → (RESAMPLES, …) sums over those who are drawn."""
    names, places = np.unique(np.asarray(speakers), return_inverse=True)
    sums = np.zeros((len(names), *values.shape[1:]))
    np.add.at(sums, places, values)
    return np.tensordot(draws(len(names)), sums, axes=1)


def resampled_ratios(speakers: Speakers, parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """(n, …) `parts` of (n, …) `wholes` → (RESAMPLES, …) Σ parts / Σ wholes over those who are drawn; NaN of nothing."""
    part, whole = resampled_sums(speakers, parts), resampled_sums(speakers, wholes)
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan)


def middle_95(values: np.ndarray) -> tuple[float, float]:
    """What lies between the lowest and the highest 2.5 % of the (n,) `values` that are numbers."""
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)
