"""The cost of a launch, measured from the backend's reports.

The cost of a launch is the time from the signal that led to it to the first report after it, minus the training in
between. The signal is the drain signal for a resize, or the order for a start or a resume. The cost contains: processes
are drained and started, imports, data, reading the checkpoint, and work that is lost and repeated. The original
HyperSched counted only part of this.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from syne_hypersched.allocation.window import QuantileWindow

_WINDOW = 256


class FirstReport(NamedTuple):
    """The data in the first report of a launch.

    Example
    -------
    >>> FirstReport(signal_to_report_s=12.0, epochs=1.0).cost_s(epoch_time_s=10.0)
    2.0
    """

    signal_to_report_s: float
    """Seconds from the signal that led to the launch to this report."""
    epochs: float | None
    """Resource trained in between; None if the level (0 or below) does not show it."""
    trained_s: float | None = None
    """Seconds that the script has trained before this report in all launches, as it reports; None: not reported."""

    def cost_s(self, epoch_time_s: float, epochs: float = 0.0) -> float | None:
        """Seconds of the launch that were not training; None if they are unknown.

        A first level of 0 may come after a first epoch or before it. The training time that the script reports shows
        which one is true.

        Parameters
        ----------
        epoch_time_s
            Seconds for one unit of resource.
        epochs
            Resource between this report and the next one of the launch; 0 if there was none.
        """
        if self.epochs is not None:
            trained_s = self.epochs * epoch_time_s
        elif epochs > 0:
            trained_s = min(epochs * epoch_time_s, math.inf if self.trained_s is None else self.trained_s)
        else:
            return None
        return max(self.signal_to_report_s - trained_s, 0.0)


class LaunchCosts:
    """Costs of the last launches. HyperSched uses their 90th percentile.

    Example
    -------
    >>> costs = LaunchCosts()
    >>> costs.first_report(0, FirstReport(signal_to_report_s=12.0, epochs=1.0))
    >>> costs.settle(0, epoch_time_s=10.0)
    >>> costs.p90_s()
    2.0

    A launch is measured in two steps. Its first report shows how long it took, including the training of some epochs.
    This training can be subtracted when the epoch time of the same trial is known, which is at the next report of the
    launch. The epoch times of *other* trials are not used: a configuration that trains slowly would look like a slow
    launch, and a high percentile would select exactly those. So a launch that ends after one report is left out, unless
    the epoch time of the trial is known from an earlier launch.

    Parameters
    ----------
    window
        Number of launches that are kept.
    """

    def __init__(self, window: int = _WINDOW) -> None:
        self._costs_s = QuantileWindow(window)
        self._open: dict[int, FirstReport] = {}

    def __len__(self) -> int:
        """Number of measured launches that are still kept."""
        return len(self._costs_s)

    def first_report(self, trial_id: int, first: FirstReport) -> None:
        """Records the first report of a launch. Only the latest launch of a trial can be open."""
        self._open[trial_id] = first

    def settle(self, trial_id: int, epoch_time_s: float | None, epochs: float = 0.0) -> None:
        """Ends the measurement of a trial's open launch, if there is one.

        Parameters
        ----------
        trial_id
            The trial.
        epoch_time_s
            Seconds for one epoch on the devices of that launch; None: the launch is left out.
        epochs
            Resource between its first and its second report; 0 if there was no second report.
        """
        first = self._open.pop(trial_id, None)
        cost_s = None if first is None or epoch_time_s is None else first.cost_s(epoch_time_s, epochs)
        if cost_s is not None:
            self._costs_s.add(cost_s)

    def p90_s(self) -> float:
        """The 90th percentile of the costs, in seconds.

        It is 0 before any launch is measured, which favours starting and growing trials. This does not last long: no
        trial grows before it has reported often, and by then its own start is measured.
        """
        return self._costs_s.quantile(0.9) if len(self._costs_s) else 0.0
