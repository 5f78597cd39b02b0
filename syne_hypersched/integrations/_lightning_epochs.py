"""The place where Lightning's trainer continues: it does not handle an epoch that an earlier launch has begun."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

_STATES = ("ready", "started", "processed", "completed")


def go_on(loops: dict[str, Any], before: int, now: int) -> tuple[int, int]:
    """Counts the micro-batches of a saved run again, for the current number of devices.

    Parameters
    ----------
    loops
        The state of the trainer's loop. It is changed.
    before, now
        Number of micro-batches of a step on one device, in the saved run and in this run.

    Returns
    -------
    tuple
        The epoch, counted from 0, and the number of its steps that are done.
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
    """Makes a run with ``max_steps`` begin the next epoch if it was saved at the end of an epoch.

    Otherwise the trainer would end the same epoch again, and train nothing in the next one.
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
    """Whether a validation follows the present step; False if the clock decides, which processes do not share."""
    if getattr(trainer, "_val_check_time_interval", None) is not None:
        return False
    return bool(trainer.fit_loop.epoch_loop._should_check_val_fx(trainer.fit_loop._data_fetcher))


def can_go_on_inside(trainer: Any, metrics: Collection[str]) -> bool:
    """Whether an epoch gives the same result if it is interrupted and continued. If not, it must begin again.

    It does not if there are several loaders, of which the shorter ones restart during the epoch. It also does not if a
    mean over the steps of the epoch is reported or decides something, or if the weights are averaged by epochs.

    Parameters
    ----------
    trainer
        The Lightning trainer.
    metrics
        Names of the reported metrics.
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
    """Metrics with which schedulers such as ``ReduceLROnPlateau`` step now. The trainer makes these steps after a save.

    Parameters
    ----------
    trainer
        The Lightning trainer.
    interval
        ``"epoch"`` or ``"step"``.

    Returns
    -------
    dict
        Metrics by the position of the scheduler, as text.
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
    """Makes these steps of schedulers.

    Parameters
    ----------
    trainer
        The Lightning trainer.
    due
        See :func:`plateaus`.
    """
    for position, config in enumerate(_schedulers(trainer)):
        if str(position) in due:
            trainer.lightning_module.lr_scheduler_step(config.scheduler, due[str(position)])


def _schedulers(trainer: Any) -> list[Any]:
    """The schedulers that the trainer itself steps."""
    return list(trainer.lr_scheduler_configs) if trainer.lightning_module.automatic_optimization else []
