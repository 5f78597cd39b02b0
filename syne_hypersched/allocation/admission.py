"""Admission of HyperSched: whether a new trial may still start.

A trial is worth starting if enough time is left for it to beat the best one. Both rules are pure. The scheduler keeps
admission closed once it has closed.
"""

from __future__ import annotations


def time_needed_s(
    longest_trial_s: float | None,
    launch_cost_s: float,
    reduction_factor: float,
    max_t: float,
    epoch_time_s: float | None,
) -> float:
    """Seconds that a new trial needs for a chance to become the best.

    The formula is ``min((longest trial time - launch cost) * eta, max_t * epoch time)`` from Liaw et al. (HyperSched,
    2019). A new trial must outlast the longest one by the reduction factor, but never needs more than a full run on one
    device.

    Parameters
    ----------
    longest_trial_s
        Seconds for which the longest trial has been running; None before the first report.
    launch_cost_s
        90th percentile of the cost of a launch.
    reduction_factor
        The reduction factor eta.
    max_t
        Maximum resource of a trial.
    epoch_time_s
        Median epoch time on one device; None if it is unknown.

    Returns
    -------
    float
        Seconds, at least 0. If nothing is known, it is 0, so that the first trials start with any deadline.
    """
    bounds = []
    if longest_trial_s is not None:
        bounds.append(max(longest_trial_s - launch_cost_s, 0.0) * reduction_factor)
    if epoch_time_s is not None:
        bounds.append(max_t * epoch_time_s)
    return min(bounds, default=0.0)


def admission_closes(time_left_s: float, needed_s: float) -> bool:
    """Whether the time left is too short for a new trial: less than it needs, or zero."""
    return time_left_s <= 0 or time_left_s < needed_s


def exploration_closes(elapsed_s: float, deadline_s: float, exploration: float) -> bool:
    """Whether the share ``exploration`` of the deadline has passed (the ablation arm without the admission rule)."""
    return elapsed_s >= deadline_s or elapsed_s > exploration * deadline_s
