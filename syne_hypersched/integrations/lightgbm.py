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

    The model is whole or not there, whenever the process is ended. A relaunched run computes the scores of the rows
    from the saved model, in another order of additions, so that it differs in the last digits. With random sampling of
    rows or columns, LightGBM begins its random numbers again.

    Parameters
    ----------
    checkpoint_dir
        Folder for the model, which Syne Tune passes as ``--st_checkpoint_dir``. The model is
        ``model.txt`` in the newest folder there.
    metrics
        What to report, as ``DATA-METRIC``, such as ``("val-l2",)``; None: everything that is evaluated.
    every
        Rounds from one report to the next.
    reporter
        Called with the metrics as keyword arguments; by default :class:`syne_tune.Reporter`.

    Raises
    ------
    TypeError, ValueError
        A parameter is something else, or this is one of several processes.
    """

    #: After the callbacks that log and record, before the one that stops early.
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
        """For ``init_model``: the model with which this launch goes on; None: there is none."""
        return self._rounds.model_path

    @property
    def num_threads(self) -> int:
        """For ``num_threads``: threads for the devices that this launch holds."""
        return num_threads()

    @property
    def rounds_done(self) -> int:
        """Rounds that earlier launches have trained, for what counts them, such as a schedule of the learning rate."""
        return self._rounds.num_done

    def rounds_left(self, num_rounds: int) -> int:
        """For ``num_boost_round``: rounds that are left of a number in all.

        LightGBM refuses to train no round. If none is left, it is given one, and its trees are removed again.
        """
        return max(1, self._rounds.left(num_rounds))

    def __call__(self, env: Any) -> None:
        """Saves and reports, after a round.

        Raises
        ------
        ValueError
            ``init_model`` is not :attr:`model`, or :meth:`rounds_left` was not asked, or LightGBM cannot go on with the
            model.
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
    """Refuses in the first launch what LightGBM refuses when the run goes on."""
    for name in ("boosting", "boosting_type", "boost"):
        if params.get(name) in ("rf", "random_forest"):
            raise ValueError(
                f"{name} must be one with which LightGBM goes on from a model, such as 'gbdt', 'dart' or 'goss', but "
                f"got {params[name]!r}"
            )
