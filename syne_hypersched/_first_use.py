"""Checks that a scheduler is used for one tuning only: it relies on its earlier trials, and its clock does not stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_AGAIN = "make a new scheduler, backend and stop criterion for each tuning"


def check_is_unused(scheduler: Any) -> None:
    """Checks that a scheduler of this package has no trials yet.

    Raises
    ------
    ValueError
        The scheduler already has trials.
    """
    if getattr(scheduler, "has_trials", False):
        raise ValueError(
            f"scheduler must have no trials yet, but this {type(scheduler).__name__} has been used: it would compare "
            f"new trials with those of an earlier tuning; {_AGAIN}"
        )


def check_has_begun_here(tuner: Any) -> None:
    """Checks that a scheduler's trials, if it has any, belong to the tuner's backend.

    Raises
    ------
    ValueError
        The scheduler has been used with another backend.
    """
    if not getattr(tuner.trial_backend, "trial_ids", None) and getattr(tuner.scheduler, "has_trials", False):
        # The tuner does this just after this call. If it is rejected, its callbacks would fail on the missing folder.
        Path(tuner.tuner_path).mkdir(parents=True, exist_ok=True)
        check_is_unused(tuner.scheduler)


def check_is_of(folder: Any, used_in: Any, num_trials: int) -> None:
    """Checks that a backend with trials is not used by another tuner.

    Raises
    ------
    ValueError
        The backend is used by another tuner.
    """
    if num_trials and folder != used_in:
        raise ValueError(
            f"trial_backend must have no trials yet, but it has {num_trials} of the experiment in {used_in}; {_AGAIN}"
        )
