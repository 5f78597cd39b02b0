"""Writes a tuning to MLflow."""

from __future__ import annotations

import posixpath
import re
import time
from collections.abc import Mapping
from typing import Any

from syne_hypersched import checks
from syne_hypersched._extras import needs_extra
from syne_hypersched.integrations._run_logger import RunLogger, plain

_TUNING, _TRIAL = "syne_hypersched.tuning", "syne_hypersched.trial"
_MOST_CHARACTERS = 500
#: Characters that MLflow does not accept in names, and the maximum lengths of a name and of a parameter.
_OTHER = re.compile(r"[^\w\-./ :]")
_LONGEST_NAME, _LONGEST_VALUE = 250, 6000


class MLflowLogger(RunLogger):
    """Writes each trial as a run of MLflow.

    Example: ``Tuner(..., callbacks=[StoreResultsCallback(), MLflowLogger("digits", "sqlite:///runs.db")])``.

    A run contains all numbers of the trial's reports, with ``st_num_devices``, by resource level. The configuration is
    stored as parameters. Tags store the decisions, their reasons, and when the trial became the incumbent. The run
    continues over relaunches, pauses, and resumes of the tuner, since it is found by its tags.

    Parameters
    ----------
    experiment
        Name of the MLflow experiment, which is created if it does not exist.
    tracking_uri
        Where MLflow stores runs; by default, the value of ``MLFLOW_TRACKING_URI``.

    Raises
    ------
    TypeError, ValueError
        An argument is not a string.
    ModuleNotFoundError
        mlflow is not installed; ``mlflow-skinny`` is enough.
    """

    def __init__(self, experiment: str, tracking_uri: str | None = None) -> None:
        super().__init__("MLflow")
        with needs_extra("MLflowLogger", "mlflow"):
            import mlflow  # noqa: F401
        self._experiment = checks.text("experiment", experiment)
        self._uri = None if tracking_uri is None else checks.text("tracking_uri", tracking_uri)
        self._client: Any = None
        self._runs: dict[int, str] = {}

    def _connect(self) -> Any:
        if self._client is None:
            from mlflow import MlflowClient

            self._client = MlflowClient(tracking_uri=self._uri)
        return self._client

    def _begin(self) -> None:
        client = self._connect()
        found = client.get_experiment_by_name(self._experiment)
        self._experiment_id = client.create_experiment(self._experiment) if found is None else found.experiment_id

    def _open(self, trial_id: int, config: Mapping[str, Any]) -> None:
        client = self._connect()
        if trial_id not in self._runs:
            mine = f"tags.`{_TUNING}` = '{self._name}' and tags.`{_TRIAL}` = '{trial_id}'"
            found = client.search_runs([self._experiment_id], filter_string=mine, max_results=1)
            if found:
                self._runs[trial_id] = found[0].info.run_id
            else:
                tags = {_TUNING: self._name, _TRIAL: str(trial_id)}
                run = client.create_run(self._experiment_id, tags=tags, run_name=f"{self._name}-{trial_id}")
                self._runs[trial_id] = run.info.run_id
                for name, value in plain(config).items():
                    client.log_param(run.info.run_id, _taken(name), str(value)[:_LONGEST_VALUE])
        client.update_run(self._runs[trial_id], status="RUNNING")

    def _write(self, trial_id: int, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        metrics = [Metric(_taken(name), value, now_ms, step) for name, value in values.items()]
        self._connect().log_batch(self._runs[trial_id], metrics=metrics)

    def _say(self, trial_id: int, step: int, name: str, text: str) -> None:
        self._connect().set_tag(self._runs[trial_id], name, text[:_MOST_CHARACTERS])

    def _pause(self, trial_id: int) -> None:
        if trial_id in self._runs:
            self._connect().set_terminated(self._runs[trial_id], status="FINISHED")

    def _finish(self, incumbent: int | None) -> None:
        if incumbent is not None:
            self._say(incumbent, self._steps.get(incumbent, 0), "result", "incumbent at the end of the tuning")
        for trial_id in self._runs:
            self._pause(trial_id)

    def __getstate__(self) -> dict[str, Any]:
        # The tuner is saved with its callbacks, but a connection cannot be saved.
        return {**self.__dict__, "_client": None}


def _taken(name: str) -> str:
    """A name that MLflow accepts: ``recall_10`` for ``recall@10``."""
    found = _OTHER.sub("_", name)[:_LONGEST_NAME]
    is_path = posixpath.normpath(found) != found or found.startswith(("..", "/")) or found == "."
    return re.sub("[/.]", "_", found) if is_path else found
