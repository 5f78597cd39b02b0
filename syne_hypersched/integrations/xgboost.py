"""Training with XGBoost as an elastic trial, in one process (``processes="single"`` of the backend).

.. code-block:: python

    elastic = XGBoostCallback(args.st_checkpoint_dir, metrics=("val-mlogloss",))
    xgboost.train(
        {**params, "nthread": elastic.num_threads}, train, elastic.rounds_left(300), evals=[(val, "val")],
        callbacks=[elastic], xgb_model=elastic.model,
    )
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from syne_hypersched._extras import needs_extra

with needs_extra(__name__, "xgboost"):
    from xgboost.callback import TrainingCallback

from syne_hypersched.integrations._boosting import Rounds, num_threads

__all__ = ["XGBoostCallback"]


class XGBoostCallback(TrainingCallback):
    """Saves the model and reports, as ``round``, after rounds of boosting.

    The model is whole or not there, whenever the process is ended. Without random sampling of rows or columns a run
    that was relaunched gives the same model as one that was not; with it, XGBoost begins its random numbers again.

    Parameters
    ----------
    checkpoint_dir
        Folder for the model, which Syne Tune passes as ``--st_checkpoint_dir``. The model is
        ``model.ubj`` in the newest folder there.
    metrics
        What to report, as ``DATA-METRIC`` in XGBoost's own words, such as ``("val-rmse",)``; None: everything that is
        evaluated.
    every
        Rounds from one report to the next.
    reporter
        Called with the metrics as keyword arguments; by default :class:`syne_tune.Reporter`.

    Raises
    ------
    TypeError, ValueError
        A parameter is something else, or this is one of several processes.
    """

    def __init__(
        self,
        checkpoint_dir: str | os.PathLike[str],
        metrics: tuple[str, ...] | None = None,
        every: int = 1,
        *,
        reporter: Callable[..., None] | None = None,
    ) -> None:
        super().__init__()
        self._rounds = Rounds(checkpoint_dir, metrics, every, reporter, "model.ubj", "xgb_model")

    @property
    def model(self) -> str | None:
        """For ``xgb_model``: the model with which this launch goes on; None: there is none."""
        return self._rounds.model_path

    @property
    def num_threads(self) -> int:
        """For ``nthread``: threads for the devices that this launch holds."""
        return num_threads()

    @property
    def rounds_done(self) -> int:
        """Rounds that earlier launches have trained, for what counts them, such as a schedule of the learning rate."""
        return self._rounds.num_done

    def rounds_left(self, num_rounds: int) -> int:
        """For ``num_boost_round``: rounds that are left of a number in all."""
        return self._rounds.left(num_rounds)

    def before_training(self, model: Any) -> Any:
        """Delivers the report of the last launch if it was not.

        Raises
        ------
        ValueError
            ``xgb_model`` is not :attr:`model`, or :meth:`rounds_left` was not asked.
        """
        self._rounds.begin(model.num_boosted_rounds())
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: dict[str, dict[str, Any]]) -> bool:
        """Saves and reports, and stops when all rounds are there."""
        found = {
            f"{data}-{metric}": values[-1] for data, metrics in evals_log.items() for metric, values in metrics.items()
        }
        num_rounds = model.num_boosted_rounds()
        self._rounds.end(num_rounds, found, model.save_model, is_last=False)
        return self._rounds.is_complete(num_rounds)

    def after_training(self, model: Any) -> Any:
        """Saves the rounds since the last report."""
        self._rounds.finish(model.num_boosted_rounds(), model.save_model)
        return model
