"""The part of the backend on Ray that keeps checkpoints behind a URL."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.local import RestoredTrial
from syne_hypersched.backends.ray._node_scaling import AutoscalingBackend
from syne_hypersched.backends.ray._url_mirror import UrlMirror
from syne_hypersched.backends.ray._url_store import UrlStore
from syne_hypersched.checkpoints import GenerationStore

logger = logging.getLogger(__name__)


class UrlBackend(AutoscalingBackend):
    """See the module; without a URL it is as its parent."""

    #: Where checkpoints are written as well; None: nowhere.
    _url: str | None = None
    _mirror: UrlMirror | None = None

    def start_trial(self, config: dict[str, Any], checkpoint_trial_id: int | None = None) -> Any:
        """Starts a new trial; removes files of an earlier experiment with the same name at the URL."""
        mirror = self._get_mirror()
        if mirror is not None:
            mirror.remove(str(self.new_trial_id()))
        return super().start_trial(config, checkpoint_trial_id)

    def restore(self, restored: Sequence[RestoredTrial], elapsed_s: float, is_set_up: bool) -> None:
        """Continues the trials of a backend whose tuner has died; checkpoints missing here are read from the URL."""
        mirror = self._get_mirror()
        for known in restored if mirror is not None else ():
            trial_id, folder = known.trial.trial_id, Path(self.checkpoint_trial_path(known.trial.trial_id))
            goes_on = known.trial.status in (Status.in_progress, Status.paused) and known.launch >= 0
            if mirror is None or not goes_on or folder.exists() or GenerationStore(folder).numbers():
                continue
            try:
                mirror.fetch(str(trial_id))
            except (OSError, ValueError) as error:
                logger.warning(
                    "The checkpoints of trial %d cannot be read from %s: %s. It starts from the beginning.", trial_id,
                    self._url, error,
                )  # fmt: skip
        super().restore(restored, elapsed_s, is_set_up)

    def _get_mirror(self) -> UrlMirror | None:
        """The writer for the URL; None without a URL."""
        if self._url is not None and self._mirror is None:
            store = UrlStore(self._url, Path(self.local_path).name)
            self._mirror = UrlMirror(store, lambda trial: Path(self.checkpoint_trial_path(int(trial))))
        return self._mirror

    def _check_url(self) -> None:
        """Checks that something can be written behind the URL.

        Raises
        ------
        ValueError
            It cannot.
        """
        if self._url is not None:
            try:
                UrlStore(self._url, Path(self.local_path).name).check()
            except OSError as error:
                raise ValueError(
                    f"checkpoint_path must be a URL that the tuner can write to, but {self._url!r} is not: {error}"
                ) from None

    def _on_settled(self, trial: str) -> None:
        """Checkpoints of a trial have come to the tuner's disk."""
        self._checkpoints.publisher.notice(int(trial))
        mirror = self._get_mirror()
        if mirror is not None:
            mirror.notice(trial)

    def _on_gone(self, trial_id: int) -> None:
        """The checkpoints of a trial were removed."""
        mirror = self._get_mirror()
        if mirror is not None:
            mirror.remove(str(trial_id))

    def stop_all(self) -> None:
        """Drains all trials, and returns when their last checkpoints are behind the URL as well."""
        with self._folder_lock:  # who goes on with the experiment reads what is there
            super().stop_all()
            mirror, self._mirror = self._mirror, None
            if mirror is not None:
                mirror.close()
