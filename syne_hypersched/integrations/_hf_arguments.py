"""Adapts Hugging Face's ``TrainingArguments`` to an elastic run."""

from __future__ import annotations

import logging
import math
from typing import Any, Literal

from syne_hypersched import checks
from syne_hypersched.integrations._batches import share_of

logger = logging.getLogger(__name__)

Resource = Literal["epoch", "eval"]
RESOURCES: tuple[Resource, ...] = ("epoch", "eval")


def adopt(args: Any, resource: Resource) -> None:
    """Makes a trainer save whenever it evaluates, or rejects its arguments.

    Raises
    ------
    ValueError
        An argument is not compatible with an elastic run; the message says why.
    """
    evaluates, saves = (_value(each) for each in (args.eval_strategy, args.save_strategy))
    if evaluates == "no":
        raise ValueError('eval_strategy must be "epoch" or "steps", since a report needs an evaluation, but got "no"')
    if resource == "epoch" and evaluates != "epoch":
        raise ValueError(
            f'eval_strategy must be "epoch" with resource="epoch", but got "{evaluates}"; use resource="eval" to count '
            "evaluations"
        )
    if saves == "best":
        raise ValueError(
            'save_strategy must be that of eval_strategy, since each report needs its checkpoint, but got "best"; '
            "the backend keeps the best checkpoint of all trials by itself"
        )
    for name, wanted, why in (
        ("save_only_model", False, "a run continues with its optimiser"),
        ("ignore_data_skip", False, "a run continues inside an epoch"),
        ("auto_find_batch_size", False, "the global batch is the same in each launch"),
    ):
        if getattr(args, name, wanted) != wanted:
            raise ValueError(f"{name} must be {wanted}, since {why}, but got {getattr(args, name)!r}")
    if args.push_to_hub and _value(args.hub_strategy) != "end":
        raise ValueError(
            f'hub_strategy must be "end", since checkpoints are moved into place, but got {_value(args.hub_strategy)!r}'
        )
    if getattr(args, "fsdp", None) and args.device.type == "cpu":
        raise ValueError(
            "fsdp must be off on CPU slots, since accelerate ignores it there and every device would hold the whole "
            f"model, but got {args.fsdp!r}"
        )
    if getattr(args.accelerator_config, "split_batches", False):
        raise ValueError("split_batches must be False, since the batch is divided over the devices here, but got True")
    if saves != evaluates or (evaluates == "steps" and args.save_steps != args.eval_steps):
        logger.info("The trainer saves whenever it evaluates (save_strategy was %r).", saves)
        args.save_strategy = type(args.save_strategy)(evaluates)
        args.save_steps = args.eval_steps
    if getattr(args, "enable_jit_checkpoint", False):
        logger.warning(
            "enable_jit_checkpoint is switched off: it waits for 3 seconds after SIGTERM and for no other process. "
            "The elastic run saves at the next step instead."
        )
        args.enable_jit_checkpoint = False
    # For example, how often EarlyStoppingCallback has seen no improvement.
    args.restore_callback_states_from_checkpoint = True


def divide(args: Any, global_batch_size: int | None) -> None:
    """Divides batches over the devices of this launch.

    Parameters
    ----------
    args
        Arguments for one device. They are changed.
    global_batch_size
        Number of samples of an optimiser step, over all devices; None: the same as on one device.

    Raises
    ------
    ValueError
        A batch cannot be divided by the devices.
    """
    num_devices, at_once = args.world_size * max(1, args.n_gpu), args.per_device_train_batch_size
    if global_batch_size is None:
        global_batch_size = at_once * args.gradient_accumulation_steps
    share = share_of(global_batch_size, num_devices, at_once)
    args.per_device_train_batch_size = share.local_batch_size
    args.gradient_accumulation_steps = share.accumulation_steps
    if not args.dataloader_drop_last:
        return
    # The trainer also leaves out the last batch of an evaluation. Its number of samples depends on the batch size.
    if args.per_device_eval_batch_size % num_devices:
        raise ValueError(
            f"per_device_eval_batch_size must be a multiple of the {num_devices} devices of this launch with "
            "dataloader_drop_last, since otherwise each number of devices would leave out other samples of the "
            f"evaluation, but got {args.per_device_eval_batch_size}"
        )
    args.per_device_eval_batch_size //= num_devices


def level(args: Any, state: Any, resource: Resource) -> int | None:
    """The resource level that a run has reached; None inside an epoch, if epochs are counted.

    A run that ends inside an epoch, or between two evaluations, has another evaluation at its end.
    """
    epoch: float = state.epoch
    if _value(args.eval_strategy) == "steps":
        step, distance = int(state.global_step), int(state.eval_steps)
        return -(-step // distance)
    if resource == "epoch":
        return round(epoch) if is_whole(epoch) else None
    return math.ceil(epoch - 1e-6)


def is_due(args: Any, state: Any) -> bool:
    """Whether the trainer evaluates after the present step."""
    counts_steps = _value(args.eval_strategy) == "steps"
    if (state.global_step if counts_steps else state.epoch) < args.eval_delay:
        return False
    if state.global_step >= state.max_steps:
        return True
    if counts_steps:
        return bool(state.global_step % state.eval_steps == 0)
    return is_whole(state.epoch)


def is_whole(epoch: float) -> bool:
    """Whether a number of epochs is an integer, apart from rounding errors."""
    return abs(epoch - round(epoch)) < 1e-6


def chosen(names: tuple[str, ...], metrics: dict[str, Any]) -> dict[str, Any]:
    """The metrics to report.

    Raises
    ------
    ValueError
        The evaluation has no such metric.
    """
    missing = [name for name in names if name not in metrics]
    if missing:
        raise ValueError(
            f"metrics must be names of evaluation results ({', '.join(sorted(metrics))}), but got "
            f"{', '.join(map(repr, missing))}"
        )
    return {name: metrics[name] for name in names}


def checked(metrics: Any, resource: Any) -> tuple[tuple[str, ...], Resource]:
    """The names of the metrics, and the resource.

    Raises
    ------
    TypeError, ValueError
        An argument has a wrong type or value.
    """
    names = checks.names("metrics", metrics)
    if not names:
        raise ValueError("metrics must name at least one metric, but got none")
    return names, checks.one_of("resource", resource, RESOURCES)


def batch_size(args: Any) -> int:
    """Number of samples of a step, over all devices."""
    return int(args.train_batch_size * args.gradient_accumulation_steps * args.world_size)


def _value(strategy: Any) -> str:
    return str(getattr(strategy, "value", strategy))
