"""Where Lightning's trainer goes on: it forgets a part of an epoch that it has not begun itself."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

_STATES = ("ready", "started", "processed", "completed")


def go_on(loops: dict[str, Any], before: int, now: int) -> tuple[int, int]:
    """Counts the micro-batches of a saved run again, for the current number of devices.

    Parameters
    ----------
    loops
        The state of the trainer's loop, which is changed.
    before, now
        Micro-batches of a step on one device, in the run that was saved and in this one.

    Returns
    -------
    tuple
        The epoch, counted from 0, and its steps that are done.
    """
    progress = loops["epoch_loop.batch_progress"]
    current, total = progress["current"], progress["total"]
    is_inside = current["completed"] < current["processed"] and not progress["is_last_batch"]
    num_steps = current["ready"] // before if is_inside else 0
    more = num_steps * now - current["ready"] if is_inside else 0
    for name in _STATES:
        earlier = total[name] - current[name]
        current[name] += more
        total[name] = earlier * now // before + current[name]
    return loops["epoch_progress"]["current"]["processed"], num_steps


def leave_epoch_behind(trainer: Any) -> None:
    """Has a run with ``max_steps`` begin the next epoch if it was saved at the end of one.

    The trainer would end the same epoch again, and train nothing in the next one.
    """
    loop = trainer.fit_loop
    progress = loop.epoch_progress
    current, total = progress.current, progress.total
    if not loop.restarting or current.processed != current.started or current.started != current.ready:
        return
    current.completed, total.completed = current.processed, total.processed
    for each in (loop, loop.epoch_loop, loop.epoch_loop.val_loop):
        each._restarting = False
        each.reset_restart_stage()


def is_validation_next(trainer: Any) -> bool:
    """Whether a validation follows the present step; False if the clock decides, which the processes do not share."""
    if getattr(trainer, "_val_check_time_interval", None) is not None:
        return False
    return bool(trainer.fit_loop.epoch_loop._should_check_val_fx(trainer.fit_loop._data_fetcher))


def can_go_on_inside(trainer: Any, metrics: Collection[str]) -> bool:
    """Whether an epoch that is left gives the same result when it goes on; otherwise it must begin again.

    Not so if it has several loaders, of which the shorter ones begin again on the way; if a mean over the steps of the
    epoch is reported, or decides something; or if the weights are averaged by epochs.

    Parameters
    ----------
    trainer
        Lightning's.
    metrics
        Names of what is reported.
    """
    loop = trainer.fit_loop
    if len(loop._combined_loader.flattened) > 1:
        return False
    kinds = {each.__name__ for callback in trainer.callbacks for each in type(callback).__mro__}
    if "StochasticWeightAveraging" in kinds:
        return False
    read = {*metrics, *(getattr(callback, "monitor", None) for callback in trainer.callbacks)}
    read |= {each.monitor for each in trainer.lr_scheduler_configs if each.interval == "epoch"}
    means = {each.meta.name for each in loop.epoch_loop._results.values() if each.meta.on_epoch}
    return not read & (means | {f"{name}_epoch" for name in means})


def plateaus(trainer: Any, interval: str) -> dict[str, float]:
    """Metrics with which schedulers such as ``ReduceLROnPlateau`` step now, which the trainer does after a save.

    Parameters
    ----------
    trainer
        Lightning's.
    interval
        ``"epoch"`` or ``"step"``.

    Returns
    -------
    dict
        By the position of the scheduler, as text.
    """
    loop = trainer.fit_loop.epoch_loop
    number = (loop.batch_idx if interval == "step" else trainer.current_epoch) + 1
    found = {}
    for position, config in enumerate(_schedulers(trainer)):
        if not config.reduce_on_plateau or config.interval != interval or number % config.frequency:
            continue
        value = trainer.callback_metrics.get(config.monitor)
        if value is not None:
            found[str(position)] = float(value)
    return found


def step_plateaus(trainer: Any, due: dict[str, float]) -> None:
    """Does these steps.

    Parameters
    ----------
    trainer
        Lightning's.
    due
        See :func:`plateaus`.
    """
    for position, config in enumerate(_schedulers(trainer)):
        if str(position) in due:
            trainer.lightning_module.lr_scheduler_step(config.scheduler, due[str(position)])


def _schedulers(trainer: Any) -> list[Any]:
    """Those of which the trainer itself takes care."""
    return list(trainer.lr_scheduler_configs) if trainer.lightning_module.automatic_optimization else []
