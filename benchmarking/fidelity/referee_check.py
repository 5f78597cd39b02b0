"""Wrong and right verdicts of the referee in studies whose truth is known.

    python benchmarking/fidelity/referee_check.py  # some minutes
    python benchmarking/fidelity/referee_check.py --studies 50 --shapes 7x8 --rivals 1

Each study has tables, seeds and rivals. A difference of two schedulers has an effect of the table, one of the seed and
a rest, all of one kind:

* normal;
* unequal: the normal ones, times a factor of the table that is lognormal, so that a few tables decide;
* regrets: differences of lognormal regrets of one mean, the candidate's the same for all rivals;
* skewed: exponential, so that most tables are a little worse and a few are much better. The mean of few such tables is
  off to one side, which no test of means can know.

"wrong" is the share of studies in which no scheduler is better and any verdict is ahead or behind, at a level of 5 %;
"found" is the share of verdicts that are right where the candidate is ahead by one standard deviation of a difference.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarking.studies.markdown import header, row
from syne_hypersched.comparison.referee import Array, judge

KINDS = ("normal", "unequal", "regrets", "skewed")
_TABLES, _SEEDS = 0.5, 0.2
"""Standard deviations of the effects of tables and seeds, beside 1 for the rest."""


def differences(
    kind: str, shape: tuple[int, int], num_rivals: int, gain: float, random_state: np.random.RandomState
) -> list[Array]:
    """Differences from each rival with the mean ``gain``; a rest of variance 1."""

    def effects(draw: str) -> Array:
        sizes = {(1, shape[1]): _SEEDS, shape: 1.0}
        if shape[0] > 1:
            sizes[shape[0], 1] = _TABLES
        total = np.zeros(shape)
        for size, deviation in sizes.items():
            drawn = random_state.standard_normal(size) if draw == "normal" else random_state.exponential(size=size) - 1
            total = total + deviation * drawn
        return total

    if kind == "regrets":
        # A lognormal whose logarithm has the deviation 0.8 has the mean exp(0.32) and the deviation 1.3.
        candidate = random_state.lognormal(0, 0.8, shape)
        scale = 1 / np.std(random_state.lognormal(0, 0.8, 10_000)) / np.sqrt(2)
        return [gain + scale * (random_state.lognormal(0, 0.8, shape) - candidate) for _ in range(num_rivals)]
    factor = random_state.lognormal(0, 0.7, (shape[0], 1)) if kind == "unequal" else 1.0
    return [factor * (gain + effects(kind if kind == "skewed" else "normal")) for _ in range(num_rivals)]


def shares(
    kind: str, shape: tuple[int, int], num_rivals: int, num_studies: int, num_resamples: int, seed: int = 0
) -> tuple[float, float]:
    """The shares of studies with a wrong verdict, and of right verdicts where the candidate is ahead."""
    random_state = np.random.RandomState(seed)
    wrong = found = 0
    for _ in range(num_studies):
        for gain in (0.0, 1.0):
            judged = judge(
                differences(kind, shape, num_rivals, gain, random_state),
                num_resamples=num_resamples,
                random_seed=int(random_state.randint(2**31)),
            )
            verdicts = [judgement.verdict for judgement in judged]
            if gain:
                found += verdicts.count("ahead")
            else:
                wrong += any(verdict != "level" for verdict in verdicts)
    return wrong / num_studies, found / (num_studies * num_rivals)


def _shape(text: str) -> tuple[int, int]:
    tables, _, seeds = text.partition("x")
    return int(tables), int(seeds)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--shapes", nargs="+", type=_shape, default=[(1, 10), (4, 8), (7, 8), (14, 4), (14, 16)])
    parser.add_argument("--rivals", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--studies", type=int, default=300, help="studies of each kind (default 300)")
    parser.add_argument("--resamples", type=int, default=1000, help="bootstrap samples of each (default 1000)")
    args = parser.parse_args(arguments)
    print("\n".join(header("differences", ["tables", "seeds", "rivals", "wrong", "found"])), flush=True)
    for kind in args.kinds:
        for shape in args.shapes:
            for num_rivals in args.rivals:
                wrong, found = shares(kind, shape, num_rivals, args.studies, args.resamples)
                cells = [*map(str, (*shape, num_rivals)), f"{100 * wrong:.0f} %", f"{100 * found:.0f} %"]
                print(row(kind, cells), flush=True)


if __name__ == "__main__":
    main()
