"""A tuner that waits for reports instead of sleeping: a callback, and what other callbacks have in common with it."""

from __future__ import annotations

from typing import Any

from syne_tune.results_callback import StoreResultsCallback


class Wait:
    """Has a tuner wait for news of its trials where it would sleep, if its backend can.

    Syne Tune's tuner sleeps for ``sleep_time`` seconds, 5 by default, when all its workers are busy, however soon a
    trial reports. Here it sleeps for no time, and a callback waits instead, at most as long as the user had asked the
    tuner to sleep. One of a tuner's callbacks does so; the others do nothing.
    """

    def __init__(self) -> None:
        self._tuner: Any = None
        #: What the user had set as ``sleep_time``; None: the tuner sleeps, or another callback waits.
        self._asked_s: float | None = None

    def begin(self, tuner: Any) -> None:
        """The tuning starts. A tuner that was stored while it ran goes on with what the user had set."""
        if not hasattr(tuner.trial_backend, "wait_for_news"):
            return
        if self._asked_s is None and tuner.sleep_time > 0:
            self._asked_s = tuner.sleep_time
        if self._asked_s is not None:
            self._tuner = tuner
            tuner.sleep_time = 0

    def sleep(self) -> None:
        """The tuner would sleep now."""
        if self._asked_s is not None:
            self._tuner.trial_backend.wait_for_news(self._asked_s)

    def end(self) -> None:
        """The tuning ends: the tuner gets back what the user had set."""
        if self._asked_s is not None and self._tuner is not None:
            self._tuner.sleep_time, self._asked_s = self._asked_s, None


class WaitForReports(StoreResultsCallback):
    """Callback of :class:`syne_tune.Tuner` by which every report is looked at as soon as it is there.

    By default the tuner looks once in 5 seconds; trials that are to be paused or stopped train on in the meantime.
    This is all that has to be added::

        tuner = Tuner(backend, scheduler, stop_criterion, n_workers=4, callbacks=[WaitForReports()])

    It takes the place of Syne Tune's ``StoreResultsCallback``, whose results it stores as well unless another callback
    of the tuner does. The tuner still looks at its stop criterion once a second, or once in ``sleep_time`` if that is
    less. :class:`~syne_hypersched.Journal` and :class:`~syne_hypersched.experiments.LiveProgress` do the same. With a
    backend that is none of this package's the tuner sleeps as before.

    Parameters
    ----------
    **options
        As in :class:`syne_tune.results_callback.StoreResultsCallback`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._wait = Wait()
        self._stores = True

    def on_tuning_start(self, tuner: Any) -> None:
        """Takes over the tuner's sleep; called by the tuner."""
        storing = [callback for callback in tuner.callbacks if isinstance(callback, StoreResultsCallback)]
        others = [callback for callback in storing if not isinstance(callback, WaitForReports)]
        self._stores = not others and storing[:1] == [self]
        super().on_tuning_start(tuner)
        self._wait.begin(tuner)

    def on_trial_result(self, trial: Any, status: str, result: dict[str, Any], decision: str) -> None:
        """Stores a result; called by the tuner."""
        if self._stores:
            super().on_trial_result(trial, status, result, decision)

    def on_tuning_sleep(self, sleep_time: float) -> None:
        """Waits for news; called by the tuner."""
        self._wait.sleep()

    def on_tuning_end(self) -> None:
        """Stores all results; called by the tuner."""
        if self._stores:
            super().on_tuning_end()
        self._wait.end()
