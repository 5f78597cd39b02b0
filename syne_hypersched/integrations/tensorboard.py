"""Writes a tuning for TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from syne_hypersched import checks
from syne_hypersched._extras import needs_extra
from syne_hypersched.integrations._run_logger import RunLogger, plain


class TensorBoardLogger(RunLogger):
    """Writes each trial as a TensorBoard run, in its own folder.

    Example: ``Tuner(..., callbacks=[StoreResultsCallback(), TensorBoardLogger()])``, then
    ``tensorboard --logdir ~/syne-tune/NAME/tensorboard``.

    A run contains all numbers of the trial's reports, with ``st_num_devices``, by resource level, and its
    configuration. The decisions, their reasons, and when the trial became the incumbent are stored as text. The run
    continues over relaunches, pauses, and resumes of the tuner.

    Parameters
    ----------
    folder
        Folder for the runs; by default ``tensorboard`` in the folder of the experiment.

    Raises
    ------
    TypeError, ValueError
        ``folder`` is not a path.
    ModuleNotFoundError
        TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        super().__init__("TensorBoard")
        with needs_extra("TensorBoardLogger", "tensorboard"):
            import tensorboard  # noqa: F401
        self._given = None if folder is None else checks.path("folder", folder)
        self._writers: dict[int, Any] = {}

    def _begin(self) -> None:
        self._root = self._given or self._folder / "tensorboard"

    def _writer(self, trial_id: int) -> Any:
        if trial_id not in self._writers:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter

            self._writers[trial_id] = EventFileWriter(str(self._root / f"trial-{trial_id}"))
        return self._writers[trial_id]

    def _open(self, trial_id: int, config: Mapping[str, Any]) -> None:
        rows = "\n".join(f"| {name} | {value} |" for name, value in plain(config).items())
        self._say(trial_id, 0, "configuration", f"| name | value |\n| --- | --- |\n{rows}")

    def _write(self, trial_id: int, step: int, values: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._add(trial_id, step, Summary(value=scalars))

    def _say(self, trial_id: int, step: int, name: str, text: str) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.text.metadata import create_summary_metadata
        from tensorboard.util.tensor_util import make_tensor_proto

        metadata = create_summary_metadata(display_name=name, description="")
        value = Summary.Value(tag=name, metadata=metadata, tensor=make_tensor_proto(text))
        self._add(trial_id, step, Summary(value=[value]))

    def _add(self, trial_id: int, step: int, summary: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        writer = self._writer(trial_id)
        writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
        writer.flush()

    def _pause(self, trial_id: int) -> None:
        writer = self._writers.pop(trial_id, None)
        if writer is not None:
            writer.close()

    def _finish(self, incumbent: int | None) -> None:
        if incumbent is not None:
            self._say(incumbent, self._steps.get(incumbent, 0), "result", "incumbent at the end of the tuning")
        for trial_id in list(self._writers):
            self._pause(trial_id)

    def __getstate__(self) -> dict[str, Any]:
        # The tuner is saved with its callbacks, but open files cannot be saved.
        return {**self.__dict__, "_writers": {}}
