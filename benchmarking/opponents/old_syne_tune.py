"""MOBSTER, HyperTune and DyHPO of Syne Tune 0.13, for a process that asks through pipes.

Runs with an interpreter of its own, where no package of this repository is, see
:mod:`benchmarking.opponents.elsewhere`. Each line of the standard input is a request in JSON, and gets a line as an
answer.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import sys
from typing import Any

CLASSES = {"mobster": "MOBSTER", "hypertune": "HyperTune", "dyhpo": "DyHPO"}


class Opponent:
    """A scheduler of that version. Levels are integers there; values are finite.

    Parameters
    ----------
    name
        One of :const:`CLASSES`.
    config_space
        As JSON.
    max_t
        Last level.
    do_minimize
        Whether the metric is to be minimised.
    seed
        Seed of the scheduler.
    grace_period
        Level of the first rung.
    """

    def __init__(
        self, name: str, config_space: dict[str, Any], max_t: int, do_minimize: bool, seed: int, grace_period: int
    ) -> None:
        import numpy as np
        from syne_tune.config_space import config_space_from_json_dict
        from syne_tune.optimizer import baselines

        np.random.seed(seed)
        self._scheduler = getattr(baselines, CLASSES[name])(
            config_space_from_json_dict(config_space),
            metric="value",
            mode="min" if do_minimize else "max",
            resource_attr="level",
            max_t=max_t,
            grace_period=grace_period,
            random_seed=seed,
            search_options={"debug_log": False},
        )
        self._trials: dict[int, Any] = {}
        self._suggested: list[Any] = []

    def suggest(self) -> dict[str, Any] | None:
        """A configuration to start, or a trial to resume; None if there is neither."""
        suggestion = self._scheduler.suggest(len(self._trials) + len(self._suggested))
        if suggestion is None:
            return None
        if not suggestion.spawn_new_trial_id:
            return {"resume": suggestion.checkpoint_trial_id}
        self._suggested.append(suggestion.config)
        return {"start": suggestion.config}

    def add(self, trial_id: int) -> None:
        """The first suggestion that has not become a trial yet has become this one."""
        from syne_tune.backend.trial_status import Trial

        trial = Trial(trial_id, self._suggested.pop(0), datetime.datetime.now())
        self._trials[trial_id] = trial
        self._scheduler.on_trial_add(trial)

    def result(self, trial_id: int, level: int, value: float) -> str:
        """Its decision on a report: ``"CONTINUE"``, ``"PAUSE"`` or ``"STOP"``."""
        decision = self._scheduler.on_trial_result(self._trials[trial_id], {"level": level, "value": value})
        return str(decision)

    def complete(self, trial_id: int, level: int, value: float) -> None:
        """A trial has ended by itself, with this report."""
        self._scheduler.on_trial_complete(self._trials[trial_id], {"level": level, "value": value})

    def remove(self, trial_id: int) -> None:
        """A trial was paused or stopped."""
        self._scheduler.on_trial_remove(self._trials[trial_id])

    def error(self, trial_id: int) -> None:
        """A trial has failed."""
        self._scheduler.on_trial_error(self._trials[trial_id])


def serve() -> None:
    """Answers until the input ends. The first request has the arguments of :class:`Opponent`."""
    # What the package prints is not an answer.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.disable(logging.CRITICAL)
    opponent = Opponent(**json.loads(sys.stdin.readline()))
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        call, *arguments = json.loads(line)
        print(json.dumps(getattr(opponent, call)(*arguments), default=float), file=answers, flush=True)
