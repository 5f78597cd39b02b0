"""Whether one scheduler is better than others: paired tests over tables and seeds, for many comparisons at once.

The model of a paired difference of regret, on table *t* with seed *s*, is ``mean + a_t + b_s + e_ts``: the tables and
the seeds are samples of those that might have been used. A seed gives the same configurations on all tables of one
space, so it has an effect of its own. The bootstrap is hierarchical. It weights tables, seeds and residuals at random,
each with the variance that the analysis of variance finds for it. (Drawing new seeds within tables would count the
variance of the seeds twice, and hide true differences.) The weights are the same for all comparisons of a family. So
the distribution of the largest statistic of a bootstrap sample gives the value that a single comparison must exceed,
if the probability of *any* wrong verdict in the family is to be at most its level.

Student's t with Satterthwaite's degrees of freedom accounts for the small number of tables. With at most four tables
and many rivals, or with skewed differences, more verdicts are wrong than the level says
(``benchmarking/fidelity/referee_check.py`` counts them).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from syne_hypersched.checks import integer

Array: TypeAlias = npt.NDArray[np.float64]

Verdict: TypeAlias = Literal["ahead", "level", "behind"]
"""``level`` means that the data do not show which one is better."""

NUM_RESAMPLES = 10_000
_CHUNK = 10_000
"""Number of samples that are drawn at once. It limits the memory."""


@dataclass(frozen=True)
class Judgement:
    """The result of one comparison of a family."""

    gain: float
    """Mean difference over tables and seeds, positive if the candidate is better."""
    low: float
    """Lower end of the interval. The family's level holds for all intervals of the family together."""
    high: float
    """Upper end of the interval."""
    p_value: float
    """Probability of a difference at least as large if the true difference is 0, for this comparison alone."""
    adjusted_p_value: float
    """The same for the largest difference of the whole family."""
    verdict: Verdict
    """``ahead`` or ``behind`` if the adjusted p-value is at most the level of the family."""


def judge(
    differences: Sequence[npt.ArrayLike],
    level: float = 0.05,
    num_resamples: int = NUM_RESAMPLES,
    random_seed: int = 0,
) -> list[Judgement]:
    """Judges a family of comparisons.

    Parameters
    ----------
    differences
        For each comparison, the paired differences: a row for each table and a column for each seed, positive if the
        candidate is better. All have the same shape, at least two columns, and finite values. With one table, the
        verdict is about this table alone.
    level
        Probability, between 0 and 1, that any verdict of the family other than ``level`` is wrong.
    num_resamples
        Number of bootstrap samples, at least 100.
    random_seed
        Seed of the bootstrap, non-negative.

    Returns
    -------
    list of Judgement
        One for each comparison.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; the message names it.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, but got {level!r}")
    num_resamples = integer("num_resamples", num_resamples, at_least=100)
    random_seed = integer("random_seed", random_seed, at_least=0)
    if not len(differences):
        return []
    arrays = [np.asarray(array, dtype=float) for array in differences]
    shapes = {array.shape for array in arrays}
    (shape, *others) = sorted(shapes)
    if others or len(shape) != 2 or shape[0] < 1 or shape[1] < 2:
        raise ValueError(
            "differences must be of one shape with a row for each table and a column for each of at least 2 seeds, but "
            f"got the shapes {', '.join(map(str, sorted(shapes)))}"
        )
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("differences must be finite, but got NaN or infinite values")
    parts = [_Parts.of(array) for array in arrays]
    draws = _draw(parts, shape, num_resamples, np.random.RandomState(random_seed))
    largest = draws.max(axis=1)
    critical = float(np.quantile(largest, 1 - level))
    return [_judged(part, draws[:, index], largest, critical, level) for index, part in enumerate(parts)]


@dataclass(frozen=True)
class _Parts:
    """The analysis of variance of one comparison."""

    mean: float
    tables: Array
    """Effects of the tables, scaled to their estimated variance."""
    seeds: Array
    residuals: Array
    standard_error: float
    degrees: float

    @classmethod
    def of(cls, differences: Array) -> _Parts:
        num_tables, num_seeds = differences.shape
        mean = float(differences.mean())
        tables = differences.mean(axis=1) - mean
        if num_tables == 1:
            residuals = differences - mean
            variance = float((residuals**2).sum() / (num_seeds - 1))
            error = math.sqrt(variance / num_seeds)
            return cls(mean, tables, np.zeros(num_seeds), _scaled(residuals, variance), error, num_seeds - 1)
        seeds = differences.mean(axis=0) - mean
        residuals = differences - mean - tables[:, None] - seeds
        degrees = num_tables - 1, num_seeds - 1, (num_tables - 1) * (num_seeds - 1)
        of_tables = num_seeds * float((tables**2).sum()) / degrees[0]
        of_seeds = num_tables * float((seeds**2).sum()) / degrees[1]
        of_residuals = float((residuals**2).sum()) / degrees[2]
        both = of_tables + of_seeds - of_residuals
        # The largest of the estimates that are valid where an effect is zero: a careful choice.
        total, used = max(
            (of_tables, (of_tables,)),
            (of_seeds, (0.0, of_seeds)),
            (of_residuals, (0.0, 0.0, of_residuals)),
            (both, (of_tables, of_seeds, of_residuals)),
        )
        spread = sum(square**2 / d for square, d in zip(used, degrees, strict=False))
        return cls(
            mean,
            _scaled(tables, max(0.0, of_tables - of_residuals) / num_seeds),
            _scaled(seeds, max(0.0, of_seeds - of_residuals) / num_tables),
            _scaled(residuals, of_residuals),
            math.sqrt(total / (num_tables * num_seeds)),
            max(1.0, total**2 / spread) if spread > 0 else float(degrees[0]),
        )


def _scaled(effects: Array, variance: float) -> Array:
    """Effects, scaled so that their mean square is a given variance."""
    mean_square = float((effects**2).mean())
    return effects * math.sqrt(variance / mean_square) if mean_square > 0 else effects


def _draw(parts: list[_Parts], shape: tuple[int, ...], number: int, random_state: np.random.RandomState) -> Array:
    """Absolute values of the standardised means of bootstrap samples, under the hypothesis of no difference.

    The weights of the effects are normal (a multiplier bootstrap). If a few tables were drawn with replacement, the
    mean could not be further away than the furthest table, and the distribution would have no tails. With few tables,
    comparisons look more alike than they are. So a share of each sample is drawn for each comparison alone.

    Returns
    -------
    ndarray of shape (number, len(parts))
        Each column is distributed as the absolute value of a standard normal variable.
    """
    num_tables, num_seeds = shape
    drawn = np.zeros((number, len(parts)))
    for name, size in (("tables", num_tables), ("seeds", num_seeds), ("residuals", num_tables * num_seeds)):
        effects = np.stack([getattr(part, name).ravel() for part in parts], axis=1)
        for start in range(0, number, _CHUNK):
            weights = random_state.standard_normal((min(_CHUNK, number - start), size)) / size
            drawn[start : start + _CHUNK] += weights @ effects
    deviations = drawn.std(axis=0)
    alone = 1 / (num_tables if num_tables > 1 else num_seeds)
    drawn = math.sqrt(1 - alone) * drawn / np.where(deviations > 0, deviations, 1.0)
    return np.asarray(np.abs(drawn + math.sqrt(alone) * random_state.standard_normal(drawn.shape)))


def _judged(part: _Parts, draws: Array, largest: Array, critical: float, level: float) -> Judgement:
    if part.standard_error > 1e-12 * abs(part.mean):
        # The normal score of Student's t: its value if the variance were known.
        score = -float(ndtri(stdtr(part.degrees, -abs(part.mean) / part.standard_error)))
        half_width = float(stdtrit(part.degrees, ndtr(critical))) * part.standard_error
    else:
        score, half_width = (math.inf if part.mean else 0.0), 0.0
    number = len(draws)
    p_value = (1 + int((draws >= score).sum())) / (1 + number) if score else 1.0
    adjusted = (1 + int((largest >= score).sum())) / (1 + number) if score else 1.0
    verdict: Verdict = "level"
    if adjusted <= level:
        verdict = "ahead" if part.mean > 0 else "behind"
    low, high = part.mean - half_width, part.mean + half_width
    return Judgement(part.mean, low, high, p_value, adjusted, verdict)
