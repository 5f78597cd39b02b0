"""Training with LightGBM as an elastic trial, in one process (``processes="single"`` of the backend).

.. code-block:: python

    elastic = LightGBMCallback(args.st_checkpoint_dir, metrics=("val-multi_logloss",))
    lightgbm.train(
        {**params, "num_threads": elastic.num_threads}, train, elastic.rounds_left(300), valid_sets=[val],
        valid_names=["val"], callbacks=[elastic], init_model=elastic.model,
    )
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from syne_hypersched._extras import needs_extra

with needs_extra(__name__, "lightgbm"):
    import lightgbm as lightgbm

from syne_hypersched.integrations._boosting import Rounds, num_threads

__all__ = ["LightGBMCallback"]


class LightGBMCallback:
    """Saves the model and reports, as ``round``, after rounds of boosting.

    The model is saved in one step, so it is whole even if the process is killed. A relaunched run computes the scores
    of the rows from the saved model. It adds them in another order, so the last digits differ. With random sampling of
    rows or columns, LightGBM restarts its random numbers.

    Parameters
    ----------
    checkpoint_dir
        Folder for the model, which Syne Tune passes as ``--st_checkpoint_dir``. The model is the file ``model.txt`` in
        the newest folder there.
    metrics
        Names of the metrics to report, as ``DATA-METRIC``, such as ``("val-l2",)``; None: all evaluated metrics.
    every
        Number of rounds from one report to the next.
    reporter
        Called with the metrics as keyword arguments; by default :class:`syne_tune.Reporter`.

    Raises
    ------
    TypeError, ValueError
        A parameter has a wrong type or value, or there are several processes.
    """

    #: After the callbacks that log and record, and before the callback that stops early.
    order = 25
    before_iteration = False

    def __init__(
        self,
        checkpoint_dir: str | os.PathLike[str],
        metrics: tuple[str, ...] | None = None,
        every: int = 1,
        *,
        reporter: Callable[..., None] | None = None,
    ) -> None:
        self._rounds = Rounds(checkpoint_dir, metrics, every, reporter, "model.txt", "init_model")
        self._has_begun = False

    @property
    def model(self) -> str | None:
        """For ``init_model``: the model from which this launch continues; None: there is none."""
        return self._rounds.model_path

    @property
    def num_threads(self) -> int:
        """For ``num_threads``: number of threads for the devices of this launch."""
        return num_threads()

    @property
    def rounds_done(self) -> int:
        """Number of rounds that earlier launches have trained, for example for a learning rate schedule."""
        return self._rounds.num_done

    def rounds_left(self, num_rounds: int) -> int:
        """For ``num_boost_round``: number of rounds left, given the total number.

        LightGBM cannot train zero rounds. If none is left, it trains one, and its trees are removed again.
        """
        return max(1, self._rounds.left(num_rounds))

    def __call__(self, env: Any) -> None:
        """Saves and reports, after a round.

        Raises
        ------
        ValueError
            ``init_model`` is not :attr:`model`, or :meth:`rounds_left` was not called, or LightGBM cannot continue from
            the model.
        """
        if not self._has_begun:
            self._has_begun = True
            _check_boosting(env.params)
            self._rounds.begin(env.begin_iteration)
        if self._rounds.is_complete(env.iteration):
            env.model.rollback_one_iter()
            return
        found = {f"{each[0]}-{each[1]}": each[2] for each in env.evaluation_result_list or ()}
        is_last = env.iteration + 1 == env.end_iteration
        self._rounds.end(env.iteration + 1, found, env.model.save_model, is_last)


def _check_boosting(params: Mapping[str, Any]) -> None:
    """Rejects, already in the first launch, parameters with which LightGBM cannot continue a run."""
    for name in ("boosting", "boosting_type", "boost"):
        if params.get(name) in ("rf", "random_forest"):
            raise ValueError(
                f"{name} must be one with which LightGBM goes on from a model, such as 'gbdt', 'dart' or 'goss', but "
                f"got {params[name]!r}"
            )
