"""Verdicts on the rows of a study: which scheduler is ahead at which deadline, on which group of tables."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from syne_hypersched.comparison.names import unknown_name
from syne_hypersched.comparison.referee import NUM_RESAMPLES, Judgement, judge

logger = logging.getLogger(__name__)

MACHINE = ["num_devices", "scaling", "launch_cost"]
NEEDED = ("benchmark", "scheduler", "seed", "regret")
COLUMNS = ("benchmark", *MACHINE, "scheduler", "deadline", "seed", "regret")

#: Number of samples for each wrong verdict that the level of a family allows. Fewer samples would have no tail.
_SAMPLES_IN_THE_TAIL = 10


def verdict_table(
    rows: pd.DataFrame,
    candidate: str,
    rivals: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    level: float = 0.05,
    num_resamples: int = NUM_RESAMPLES,
) -> pd.DataFrame:
    """Compares a scheduler with each of its rivals at each deadline, on each machine and each group of tables.

    A comparison uses the seeds that both schedulers have on all tables of the group. A table is left out if neither has
    a regret on it, because its best configuration is no better than the median one. A rival with fewer than two such
    seeds has no verdict; a warning names it. The level holds for all verdicts together: the probability that any of
    them (except ``level``) is wrong is at most ``level``.

    Parameters
    ----------
    rows
        Rows of :func:`~syne_hypersched.comparison.tables.results_table`, or of the file ``results.csv``. Or your own
        rows with the columns ``benchmark``, ``scheduler``, ``seed`` and ``regret`` (any number for which lower is
        better). ``deadline``, ``num_devices``, ``scaling`` and ``launch_cost`` are optional.
    candidate
        The scheduler that is compared with its rivals.
    rivals
        The other schedulers, without the candidate; by default all in ``rows``.
    groups
        Names of groups and their tables. Default: one group, ``"all tables"``. Tables that are not in ``rows`` are left
        out.
    level, num_resamples
        As in :func:`~syne_hypersched.comparison.referee.judge`. Many machines and groups share the level and need more
        samples, so their number is increased.

    Returns
    -------
    pandas.DataFrame
        Columns: those of the machine, ``group``, ``deadline``, ``rival``, ``tables`` and ``seeds`` (their numbers),
        ``regret`` and ``rival_regret`` (means), ``ratio`` (of the two means; below 1 the candidate is better),
        ``gain``, ``low`` and ``high`` (difference of the means with its interval), ``p_value``, ``adjusted_p_value``,
        ``verdict``.

    Raises
    ------
    ValueError
        ``rows`` lack a column or a scheduler, a regret is infinite or not a number, the candidate is its own rival, or
        no rival shares two seeds with it on some machine and group.
    """
    rows = _completed(rows)
    keys = [column for column in COLUMNS if column != "regret"]
    twice = rows[rows.duplicated(keys)]
    if not twice.empty:
        raise ValueError(f"rows must have each run once, but have this run twice: {twice[keys].iloc[0].to_dict()}")
    infinite = rows[np.isinf(rows.regret)]
    if not infinite.empty:
        raise ValueError(f"regret must be finite or NaN, but is infinite in {infinite[keys].iloc[0].to_dict()}")
    names = list(dict.fromkeys(rows.scheduler))
    for name in (candidate, *(rivals or ())):
        if name not in names:
            raise unknown_name("scheduler", name, names)
    if rivals is None:
        rivals = [name for name in names if name != candidate]
    rivals = list(dict.fromkeys(rivals))
    if not rivals or candidate in rivals:
        raise ValueError(f"rivals must be schedulers other than the candidate {candidate!r}, but got {rivals!r}")
    available = list(dict.fromkeys(rows.benchmark))
    if groups is None:
        groups = {"all tables": available}
    for name, tables in groups.items():
        if not set(tables) & set(available):
            raise ValueError(f"group {name!r} must have tables of rows, {', '.join(available)}, but has {tables!r}")
    families = [
        (dict(zip(MACHINE, machine, strict=True)) | {"group": group}, of_machine[of_machine.benchmark.isin(tables)])
        for machine, of_machine in rows.groupby(MACHINE, sort=False, dropna=False)
        for group, tables in groups.items()
    ]
    families = [(cells, family) for cells, family in families if not family.empty]
    found: list[dict[str, object]] = []
    without: dict[str, list[str]] = {}
    for cells, family in families:
        pairs = _pairs(family, candidate, rivals)
        judged_pairs = {pair for pair, _, _ in pairs}
        for deadline in dict.fromkeys(family.deadline):
            for rival in rivals:
                if (str(deadline), rival) not in judged_pairs:
                    without.setdefault(rival, []).append(f"{cells['group']} at {deadline}")
        if not pairs:
            raise ValueError(f"{candidate!r} and a rival must share at least 2 seeds, but share fewer for {cells}")
        judged = _judge_by_shape([own - other for _, own, other in pairs], level, num_resamples, len(families))
        for ((deadline, rival), own, other), judgement in zip(pairs, judged, strict=True):
            found.append(
                cells
                | {"deadline": deadline, "rival": rival, "tables": own.shape[0], "seeds": own.shape[1]}
                | {"regret": _mean_regret(own), "rival_regret": _mean_regret(other), "ratio": _ratio(own, other)}
                | {"gain": judgement.gain, "low": judgement.low, "high": judgement.high}
                | {"p_value": judgement.p_value, "adjusted_p_value": judgement.adjusted_p_value}
                | {"verdict": judgement.verdict}
            )
    for rival, places in without.items():
        logger.warning(
            "no verdict on %r in %d of %d cases (%s%s): it and %r share fewer than 2 seeds that have a regret on all "
            "tables. Run both with the same seeds, or put the tables that it lacks into a separate group",
            *(rival, len(places), len(places) + sum(cells["rival"] == rival for cells in found)),
            *("; ".join(places[:3]), "; ..." if len(places) > 3 else "", candidate),
        )
    return pd.DataFrame(found)


def _completed(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with all columns, and with regrets as numbers."""
    missing = [column for column in NEEDED if column not in rows]
    if missing:
        raise ValueError(f"rows must have the columns {', '.join(NEEDED)}, but lack {', '.join(missing)}")
    optional = dict.fromkeys(MACHINE, math.nan) | {"deadline": "-"}
    rows = rows.assign(**{column: value for column, value in optional.items() if column not in rows})
    regret = pd.to_numeric(rows.regret, errors="coerce")
    wrong = rows[regret.isna() & rows.regret.notna()]
    if not wrong.empty:
        first = wrong.iloc[0]
        raise ValueError(
            f"regret must be a number, but is {first.regret!r} for {first.scheduler!r} on {first.benchmark!r}, seed "
            f"{first.seed}"
        )
    return rows.assign(regret=regret.astype(float))


def strongest(verdicts: pd.DataFrame) -> pd.DataFrame:
    """The rows of the rival with the lowest mean regret at each deadline, on each machine and group of tables."""
    best = verdicts.groupby([*MACHINE, "group", "deadline"], sort=False, dropna=False).rival_regret.idxmin()
    return verdicts.loc[best].reset_index(drop=True)


Pair = tuple[tuple[str, str], npt.NDArray[np.float64], npt.NDArray[np.float64]]


def _pairs(family: pd.DataFrame, candidate: str, rivals: Sequence[str]) -> list[Pair]:
    """Deadline and rival, and the negated regrets of the candidate and the rival: a row for each table."""
    found: list[Pair] = []
    for deadline, at_deadline in family.groupby("deadline", sort=False):
        regret = at_deadline.pivot(index=["scheduler", "benchmark"], columns="seed", values="regret")
        if candidate not in regret.index.get_level_values("scheduler"):
            continue
        own = regret.loc[candidate]
        for rival in rivals:
            if rival not in regret.index.get_level_values("scheduler"):
                continue
            other = regret.loc[rival]
            tables = [
                table
                for table in own.index
                if table in other.index and (own.loc[table].notna().any() or other.loc[table].notna().any())
            ]
            both = own.loc[tables].notna().all() & other.loc[tables].notna().all()
            if tables and both.sum() >= 2:
                seeds = both[both].index
                arrays = [-frame.loc[tables, seeds].to_numpy(dtype=float) for frame in (own, other)]
                found.append(((str(deadline), rival), arrays[0], arrays[1]))
    return found


def _mean_regret(negated: npt.NDArray[np.float64]) -> float:
    """The mean of negated regrets. A mean of 0 has no minus sign."""
    return 0.0 - float(negated.mean())


def _ratio(own: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """The ratio of the means: 1 if both are 0, infinite if only the rival's mean is 0."""
    first, second = _mean_regret(own), _mean_regret(other)
    if second == 0:
        return 1.0 if first == 0 else math.copysign(math.inf, first)
    return first / second


def _judge_by_shape(
    differences: Sequence[npt.NDArray[np.float64]], level: float, num_resamples: int, num_families: int
) -> list[Judgement]:
    """Judges comparisons that have the same tables and seeds together. All families share the level."""
    shapes = list(dict.fromkeys(array.shape for array in differences))
    num_families *= len(shapes)
    if 0 < level < 1:
        num_resamples = max(num_resamples, math.ceil(_SAMPLES_IN_THE_TAIL * num_families / level))
    found: dict[int, Judgement] = {}
    for shape in shapes:
        indices = [index for index, array in enumerate(differences) if array.shape == shape]
        judged = judge([differences[index] for index in indices], level / num_families, num_resamples)
        for index, judgement in zip(indices, judged, strict=True):
            adjusted = min(1.0, judgement.adjusted_p_value * num_families)
            found[index] = replace(judgement, adjusted_p_value=adjusted)
    return [found[index] for index in range(len(differences))]
