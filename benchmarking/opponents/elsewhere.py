"""Schedulers that only an older Syne Tune has, in a process of that version."""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import config_space_to_json_dict
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialSuggestion

from benchmarking.opponents import old_syne_tune
from syne_hypersched.comparison.asked import AskedScheduler

GRACE_2 = "-grace-2"
"""At the end of a name: the first rung is at the second level, and not at the first one."""
OLD_NAMES = tuple(name + end for name in old_syne_tune.CLASSES for end in ("", GRACE_2))

_SERVE = "import runpy, sys; runpy.run_path(sys.argv[1])['serve']()"


class Elsewhere(AskedScheduler[Mapping[str, Any]]):
    """A scheduler of another process. A trial that fails, or whose value is not finite, has failed for it.

    Parameters
    ----------
    python
        Interpreter of an environment with Syne Tune 0.13 and its extra ``gpsearchers``.
    name
        One of :const:`OLD_NAMES`.
    config_space
        Configuration space.
    metric, time_attr
        Entries of a report: what is optimised, and the resource level, an integer.
    max_t
        Maximum resource of a trial.
    do_minimize
        Whether ``metric`` is to be minimised.
    seed
        Seed of the scheduler.
    program
        A file whose function ``serve`` that interpreter runs.

    Raises
    ------
    RuntimeError
        The process has ended.
    """

    def __init__(
        self,
        python: str | Path,
        name: str,
        config_space: Mapping[str, Any],
        metric: str,
        time_attr: str,
        max_t: int,
        do_minimize: bool,
        seed: int,
        program: str | Path = old_syne_tune.__file__,
    ) -> None:
        super().__init__(config_space, metric, time_attr, max_t, do_minimize, random_seed=seed)
        self.name = name
        # One thread each, since several of them may run at a time.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        environment.pop("PYTHONPATH", None)
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by close)
        self._process = subprocess.Popen(
            [str(python), "-W", "ignore", "-c", _SERVE, str(program)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True, env=environment,
        )  # fmt: skip
        self._request({
            "name": name.removesuffix(GRACE_2),
            "config_space": config_space_to_json_dict(dict(config_space)),
            "max_t": max_t,
            "do_minimize": do_minimize,
            "seed": seed,
            "grace_period": 2 if name.endswith(GRACE_2) else 1,
        })  # fmt: skip

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()
        self._said.close()

    def suggest(self) -> TrialSuggestion | None:
        """The suggestion of the other process."""
        answer = self._call("suggest")
        if answer is None:
            return None
        if "resume" in answer:
            self._running[answer["resume"]] = {}
            return TrialSuggestion.resume_suggestion(answer["resume"])
        self._suggested.append(answer["start"])
        return TrialSuggestion.start_suggestion(answer["start"])

    def on_trial_add(self, trial: Trial) -> None:
        """The suggestion has become a trial."""
        super().on_trial_add(trial)
        self._call("add", trial.trial_id)

    def on_trial_result(self, trial: Trial, result: dict[str, Any]) -> str:
        """The decision of the other process."""
        value = float(result[self.metric])
        if not math.isfinite(value):
            self.on_trial_error(trial)
            return str(SchedulerDecision.STOP)
        decision = str(self._call("result", trial.trial_id, int(result[self.time_attr]), value))
        if decision != SchedulerDecision.CONTINUE:
            # The tuner tells this scheduler of a removal as well, but also of those of trials that have failed.
            self._running.pop(trial.trial_id, None)
            self._call("remove", trial.trial_id)
        return decision

    def on_trial_complete(self, trial: Trial, result: dict[str, Any]) -> None:
        """The curve has ended."""
        if self._running.pop(trial.trial_id, None) is not None:
            self._call("complete", trial.trial_id, int(result[self.time_attr]), float(result[self.metric]))

    def on_trial_error(self, trial: Trial) -> None:
        """The trial has failed."""
        if self._running.pop(trial.trial_id, None) is not None:
            self._call("error", trial.trial_id)

    def on_trial_remove(self, trial: Trial) -> None:
        """The trial was stopped or paused, of which the other process knows."""

    def metadata(self) -> dict[str, Any]:
        """What is stored with the results of an experiment."""
        return super().metadata() | {"scheduler_name": self.name}

    def _call(self, what: str, *arguments: object) -> Any:
        return self._request([what, *arguments])

    def _request(self, request: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, so that there is no answer
        answer = self._process.stdout.readline()
        if not answer:
            status = self._process.wait()
            self._said.seek(0)
            raise RuntimeError(f"the process of {self.name} has ended with exit status {status}: {self._said.read()}")
        return json.loads(answer)


def old_version(python: str | Path) -> str:
    """Version of Syne Tune in an environment.

    Raises
    ------
    ValueError
        It has none.
    """
    program = "import importlib.metadata; print(importlib.metadata.version('syne-tune'))"
    ended = subprocess.run([str(python), "-c", program], capture_output=True, text=True)
    if ended.returncode:
        raise ValueError(f"python must be an interpreter with Syne Tune, but {python} has none: {ended.stderr}")
    return ended.stdout.strip()
