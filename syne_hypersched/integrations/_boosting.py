"""What a callback of a boosting library does after each round: it saves the model, and then reports.

SIGTERM is left to its default: it ends the process at once, and the last whole model is at most some rounds old.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from syne_hypersched import checks, variables
from syne_hypersched.integrations._saved import Saved

RESOURCE = "round"


class Rounds:
    """Models after rounds of boosting, each whole or not there, and their reports.

    Parameters
    ----------
    checkpoint_dir
        Folder for the models.
    metrics
        What to report, as ``DATA-METRIC``; None: everything that is evaluated.
    every
        Rounds from one report to the next.
    reporter
        Called with the metrics as keyword arguments; by default :class:`syne_tune.Reporter`.
    file_name
        Name of the file with a model.

    Raises
    ------
    TypeError, ValueError
        A parameter is something else, or this is one of several processes, which would all train the same model.
    """

    def __init__(
        self,
        checkpoint_dir: str | os.PathLike[str],
        metrics: tuple[str, ...] | None,
        every: int,
        reporter: Callable[..., None] | None,
        file_name: str,
    ) -> None:
        num_processes = variables.number(variables.WORLD_SIZE, 1, os.environ)
        if num_processes > 1:
            raise ValueError(
                'processes of the backend must be "single", so that one process uses all devices of its trial, but '
                f"this is one of {num_processes} processes"
            )
        self._names = None if metrics is None else checks.names("metrics", metrics)
        self.every = checks.positive_integer("every", every)
        self._file_name = file_name
        self._saved = Saved(str(checks.path("checkpoint_dir", checkpoint_dir)), 1, reporter)
        #: Rounds that earlier launches have trained.
        self.num_done = int(self._saved.notes.get(RESOURCE, 0))

    @property
    def model_path(self) -> str | None:
        """The file of the model with which this launch goes on; None: there is none."""
        newest = self._saved.newest
        return None if newest is None else os.path.join(newest, self._file_name)

    def left(self, num_rounds: int) -> int:
        """Rounds that are left of a number in all.

        Raises
        ------
        ValueError
            The number is below 1.
        """
        return max(0, checks.positive_integer("num_rounds", num_rounds) - self.num_done)

    def begin(self) -> None:
        """Training begins: delivers the report of the last launch if it was not."""
        self._saved.begin()

    def end(self, num_rounds: int, found: Mapping[str, float], save: Callable[[str], object], is_last: bool) -> None:
        """A round has ended.

        Parameters
        ----------
        num_rounds
            Rounds of the model.
        found
            Evaluated metrics, by name.
        save
            Writes the model into a file.
        is_last
            Whether no round follows.

        Raises
        ------
        ValueError
            A metric was not evaluated.
        """
        is_due = num_rounds % self.every == 0
        if not is_due and not is_last:
            return
        report = {RESOURCE: num_rounds, **self._chosen(found)} if is_due else None
        aside = self._saved.folder.begin()
        save(os.path.join(aside, self._file_name))
        self._saved.commit(aside, report, **{RESOURCE: num_rounds})

    def _chosen(self, found: Mapping[str, float]) -> dict[str, float]:
        names = tuple(found) if self._names is None else self._names
        missing = [name for name in names if name not in found]
        if missing or not names:
            raise ValueError(
                f"metrics must be names of what is evaluated ({', '.join(found) or 'nothing: there is no data for it'}"
                f"), but got {', '.join(map(repr, missing)) or 'none'}"
            )
        return {name: float(found[name]) for name in names}


def num_threads() -> int:
    """Threads for the devices that this launch holds: its share of the cores."""
    return variables.number("OMP_NUM_THREADS", 0, os.environ) or len(os.sched_getaffinity(0))
