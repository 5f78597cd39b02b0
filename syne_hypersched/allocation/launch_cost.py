"""What a launch costs, measured from what the backend reports.

The cost of a launch is the time from the signal that led to it (the drain signal for a resize, the order for a start or
a resume) to the first report after it, less the training in between: processes drained and started, imports, data, the
checkpoint read, work lost and redone. The original HyperSched counted only part of this.
"""

from __future__ import annotations

from syne_hypersched.allocation._window import QuantileWindow

_WINDOW = 256


class LaunchCosts:
    """Costs of the last launches, of which HyperSched uses the 90th percentile.

    A launch is measured in two steps. Its first report says how long it took including the training of some epochs;
    these can be taken off when the epoch time of the same trial is known, which is at the next report of the launch.
    The epoch times of *other* trials are not used: a configuration that trains slowly would pass for a slow launch, and
    a high percentile would pick just those. A launch that ends after one report is therefore left out, unless the
    epoch time of the trial is known from an earlier launch.

    Parameters
    ----------
    window
        Number of launches remembered.
    """

    def __init__(self, window: int = _WINDOW) -> None:
        self._costs_s = QuantileWindow(window)
        self._open: dict[int, tuple[float, float]] = {}

    def __len__(self) -> int:
        """Number of launches measured and still remembered."""
        return len(self._costs_s)

    def first_report(self, trial_id: int, signal_to_report_s: float, epochs: float) -> None:
        """Takes in the first report of a launch.

        Parameters
        ----------
        trial_id
            The trial, of which only the latest launch can be open.
        signal_to_report_s
            Seconds from the signal that led to the launch to this report.
        epochs
            Resource trained in between.
        """
        self._open[trial_id] = (signal_to_report_s, epochs)

    def settle(self, trial_id: int, epoch_time_s: float | None) -> None:
        """Ends the measurement of a trial's open launch, if there is one.

        Parameters
        ----------
        trial_id
            The trial.
        epoch_time_s
            Seconds for one epoch on the devices of that launch; None leaves the launch out.
        """
        launch = self._open.pop(trial_id, None)
        if launch is not None and epoch_time_s is not None:
            signal_to_report_s, epochs = launch
            self._costs_s.add(max(signal_to_report_s - epochs * epoch_time_s, 0.0))

    def p90_s(self) -> float:
        """The 90th percentile of the costs, in seconds.

        It is 0 before any launch is measured. This errs towards starting and growing trials, and not for long: nothing
        grows before it has reported often, and its own start is measured by then.
        """
        return self._costs_s.quantile(0.9) if len(self._costs_s) else 0.0
