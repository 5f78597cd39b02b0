"""The best checkpoint of a ``transformers.Trainer``, for ``load_best_model_at_end``.

The trainer stores its absolute path, which changes if the folder is moved or copied. So the checkpoint is found by its
name.
"""

from __future__ import annotations

import logging
import os
import shutil
from typing import Any

logger = logging.getLogger(__name__)

_BEST = "best-model-"
_STATE = "trainer_state.json"  # the trainer's name for this file
_PREFIX = "checkpoint-"  # the trainer's names of folders begin with this


def trainer_folder(checkpoint: str) -> str:
    """The folder that the trainer has written inside a checkpoint."""
    names = [name for name in os.listdir(checkpoint) if name.startswith(_PREFIX)]
    return os.path.join(checkpoint, max(names, key=len, default=""))


class Best:
    """Keeps a copy of the best checkpoint, as ``best-model-STEP``, beside the newest ones.

    Parameters
    ----------
    path
        Folder of the checkpoints.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def keep(self, state: Any, written: str) -> None:
        """Keeps a checkpoint if it is the best one, and writes the place of the best one into it.

        Parameters
        ----------
        state
            The trainer's state.
        written
            The folder that the trainer has just written.
        """
        best = state.best_model_checkpoint
        if best is None:
            return
        if state.best_global_step == state.global_step and not os.path.isdir(best):
            self._copy(written, best)
        state.save_to_json(os.path.join(written, _STATE))

    def name(self, state: Any) -> None:
        """Sets, in the state, where the best checkpoint is kept, if there is one."""
        if state.best_model_checkpoint is not None:
            state.best_model_checkpoint = self._path_of(state)

    def remove_others(self, state: Any) -> None:
        """Removes checkpoints that are not the best any more."""
        for name in os.listdir(self._path):
            if name.startswith(_BEST) and name != os.path.basename(state.best_model_checkpoint or ""):
                shutil.rmtree(os.path.join(self._path, name), ignore_errors=True)

    def find_again(self, state: Any, loaded: str, is_main: bool) -> None:
        """Sets the place of the best checkpoint in the state of a run that continues.

        Parameters
        ----------
        state
            The trainer's state.
        loaded
            The trainer's folder from which the run continues.
        is_main
            Whether this process writes files.
        """
        if not state.best_global_step:
            return
        best = self._path_of(state)
        if state.best_global_step == state.global_step:
            if is_main and not os.path.isdir(best):
                self._copy(loaded, best)
        elif not os.path.isdir(best):
            if is_main:
                logger.warning(
                    "The best checkpoint, of step %d, no longer exists: the best one from now on is kept instead.",
                    state.best_global_step,
                )
            state.best_model_checkpoint = state.best_metric = state.best_global_step = None
            return
        state.best_model_checkpoint = best

    def _path_of(self, state: Any) -> str:
        return os.path.join(self._path, f"{_BEST}{state.best_global_step}")

    def _copy(self, written: str, best: str) -> None:
        shutil.rmtree(f"{best}.aside", ignore_errors=True)
        shutil.copytree(written, f"{best}.aside", copy_function=_link)
        os.rename(f"{best}.aside", best)


def _link(source: str, target: str) -> None:
    """Copies a file, by a hard link if the disk has hard links, since files of checkpoints never change."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
