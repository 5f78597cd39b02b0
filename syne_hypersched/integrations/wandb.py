"""Writes a tuning to Weights & Biases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from syne_hypersched import checks
from syne_hypersched._extras import needs_extra
from syne_hypersched.integrations._run_logger import RunLogger, plain


class WandbLogger(RunLogger):
    """Writes each trial as a Weights & Biases run, in a group with the name of the experiment.

    Example: ``Tuner(..., callbacks=[StoreResultsCallback(), WandbLogger(project="digits")])``.

    A run contains all numbers of the trial's reports, with ``st_num_devices``, by resource level, and its
    configuration. Its summary has the last decision, the reason, and whether the trial became the incumbent. The run
    continues over relaunches and pauses. If the server is reached, it also continues over resumes of the tuner, since
    its id follows from the names of the experiment and of the trial.

    Parameters
    ----------
    project
        Name of the project.
    mode
        ``"online"``, ``"offline"`` (``wandb sync`` sends the runs later) or ``"disabled"``; by default, the value of
        ``WANDB_MODE``.
    **options
        Further arguments of ``wandb.init``, such as ``entity`` or ``tags``.

    Raises
    ------
    TypeError, ValueError
        ``project`` is not a string, or ``mode`` is not one of these.
    ModuleNotFoundError
        wandb is not installed.
    """

    def __init__(self, project: str, mode: str | None = None, **options: Any) -> None:
        super().__init__("Weights & Biases")
        with needs_extra("WandbLogger", "wandb"):
            import wandb  # noqa: F401
        self._project = checks.text("project", project)
        self._mode = checks.one_of("mode", mode, ("online", "offline", "disabled", None))
        self._options = options
        self._runs: dict[int, Any] = {}

    def _begin(self) -> None:
        """Does nothing, since each run connects by itself."""

    def _open(self, trial_id: int, config: Mapping[str, Any]) -> None:
        if trial_id in self._runs:
            return
        import wandb

        # The runs of several trials are open at the same time, and each process may write to any of them.
        run = wandb.init(
            project=self._project,
            group=self._name,
            name=f"trial-{trial_id}",
            id=re.sub(r"[^\w-]", "-", f"{self._name}-{trial_id}")[-64:],
            resume="allow",
            reinit="create_new",
            config=plain(config),
            mode=self._mode,
            dir=self._options.get("dir", str(self._folder)),
            **{name: value for name, value in self._options.items() if name != "dir"},
        )
        # Steps of wandb must never decrease, but a resumed trial may repeat a level. So the level has its own axis.
        run.define_metric(self._time_attr)
        run.define_metric("*", step_metric=self._time_attr)
        self._runs[trial_id] = run

    def _run(self, trial_id: int) -> Any:
        if trial_id not in self._runs:
            self._open(trial_id, self._configs[trial_id])
        return self._runs[trial_id]

    def _write(self, trial_id: int, step: int, values: Mapping[str, float]) -> None:
        self._run(trial_id).log({**values, self._time_attr: step})

    def _say(self, trial_id: int, step: int, name: str, text: str) -> None:
        self._run(trial_id).summary[name] = text

    def _pause(self, trial_id: int) -> None:
        run = self._runs.pop(trial_id, None)
        if run is not None:
            run.finish()

    def _finish(self, incumbent: int | None) -> None:
        if incumbent is not None:
            self._say(incumbent, self._steps.get(incumbent, 0), "result", "incumbent at the end of the tuning")
        for trial_id in list(self._runs):
            self._pause(trial_id)

    def __getstate__(self) -> dict[str, Any]:
        # The tuner is saved with its callbacks, but connections cannot be saved.
        return {**self.__dict__, "_runs": {}}
