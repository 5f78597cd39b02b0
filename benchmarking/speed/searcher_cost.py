"""What a suggestion and a report cost, by the number of trials and the searcher.

    python benchmarking/speed/searcher_cost.py  # some minutes
    python benchmarking/speed/searcher_cost.py --sizes 10 100 --searchers joint kde

A searcher is told of trials on the configuration space of the embedded table, two thirds of which have reported at two
levels and the others at up to seven. Then it is asked for suggestions, each followed by the reports of the new trial.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from syne_hypersched.blackboxes import load_digits
from syne_hypersched.schedulers.searchers import Searcher, make_searcher

SEARCHERS = ("random_search", "joint", "kde", "bore", "cqr", "botorch")
MAX_T = 81
#: Suggestions of dear searchers that are enough, and sizes that would take them hours.
DEAR = {"cqr": 100, "botorch": 100, "bore": 1000, "kde": 10_000}


def tell(searcher: Searcher, trial_id: int, config: dict[str, Any], state: np.random.RandomState) -> float:
    """Reports of a trial; returns the mean seconds of one."""
    distance = (np.log10(config["learning_rate"]) + 2) ** 2 + 0.1 * state.normal()
    num_levels = 2 if trial_id % 3 else 1 + int(state.randint(2, 7))
    began = time.process_time()
    for level in range(num_levels):
        searcher.on_trial_result(trial_id, config, float(distance + 2.0**-level), float(2**level))
    elapsed_s = time.process_time() - began
    searcher.on_trial_end(trial_id)
    return elapsed_s / num_levels


def measure(name: str, num_trials: int, num_suggestions: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each suggestion, and microseconds of a report, of a searcher that knows this many trials."""
    space = load_digits().configuration_space
    state = np.random.RandomState(0)
    searcher, random = (make_searcher(kind, space, None, 0, max_t=MAX_T) for kind in (name, "random_search"))
    for trial_id in range(num_trials):
        config = random.suggest()
        assert config is not None
        tell(searcher, trial_id, config, state)
    suggestions_ms, reports_us = [], []
    for trial_id in range(num_trials, num_trials + num_suggestions):
        began = time.process_time()
        config = searcher.suggest()
        suggestions_ms.append(1e3 * (time.process_time() - began))
        assert config is not None
        reports_us.append(1e6 * tell(searcher, trial_id, config, state))
    # The first suggestion of a model pays for all trials that were told of before.
    return suggestions_ms[1:], reports_us


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000, 10_000], help="numbers of trials")
    parser.add_argument("--searchers", nargs="+", default=list(SEARCHERS), choices=SEARCHERS)
    parser.add_argument("--suggestions", type=int, default=30, help="suggestions of each, at least 2 (default 30)")
    args = parser.parse_args(arguments)
    if args.suggestions < 2:
        parser.error(f"--suggestions must be at least 2, but got {args.suggestions}")
    print(f"{'searcher':>15} {'trials':>7} {'median ms':>10} {'mean ms':>9} {'95 % ms':>9} {'report us':>10}")
    for name in args.searchers:
        for size in args.sizes:
            if size > DEAR.get(name, size):
                continue
            try:
                suggestions, reports = measure(name, size, args.suggestions)
            except ImportError as error:
                print(f"{name:>15} {error}")
                break
            numbers = np.median(suggestions), np.mean(suggestions), np.quantile(suggestions, 0.95), np.median(reports)
            print(
                f"{name:>15} {size:>7} "
                + " ".join(f"{x:>{w}.2f}" for x, w in zip(numbers, (10, 9, 9, 10), strict=True))
            )


if __name__ == "__main__":
    main()
