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

    The model is saved in one step, so it is whole even if the process is killed. Without random sampling of rows or
    columns, a relaunched run gives the same model as an uninterrupted one. With it, XGBoost restarts its random
    numbers.

    Parameters
    ----------
    checkpoint_dir
        Folder for the model, which Syne Tune passes as ``--st_checkpoint_dir``. The model is the file ``model.ubj`` in
        the newest folder there.
    metrics
        Names of the metrics to report, as ``DATA-METRIC`` with XGBoost's names, such as ``("val-rmse",)``; None: all
        evaluated metrics.
    every
        Number of rounds from one report to the next.
    reporter
        Called with the metrics as keyword arguments; by default :class:`syne_tune.Reporter`.

    Raises
    ------
    TypeError, ValueError
        A parameter has a wrong type or value, or there are several processes.
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
        """For ``xgb_model``: the model from which this launch continues; None: there is none."""
        return self._rounds.model_path

    @property
    def num_threads(self) -> int:
        """For ``nthread``: number of threads for the devices of this launch."""
        return num_threads()

    @property
    def rounds_done(self) -> int:
        """Number of rounds that earlier launches have trained, for example for a learning rate schedule."""
        return self._rounds.num_done

    def rounds_left(self, num_rounds: int) -> int:
        """For ``num_boost_round``: number of rounds left, given the total number."""
        return self._rounds.left(num_rounds)

    def before_training(self, model: Any) -> Any:
        """Delivers the report of the last launch if that was not done.

        Raises
        ------
        ValueError
            ``xgb_model`` is not :attr:`model`, or :meth:`rounds_left` was not called.
        """
        self._rounds.begin(model.num_boosted_rounds())
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: dict[str, dict[str, Any]]) -> bool:
        """Saves, reports, and stops when all rounds are trained."""
        found = {
            f"{data}-{metric}": values[-1] for data, metrics in evals_log.items() for metric, values in metrics.items()
        }
        num_rounds = model.num_boosted_rounds()
        self._rounds.end(num_rounds, found, model.save_model, is_last=False)
        return self._rounds.is_complete(num_rounds)

    def after_training(self, model: Any) -> Any:
        """Saves the rounds after the last report."""
        self._rounds.finish(model.num_boosted_rounds(), model.save_model)
        return model
