"""What a training script iterates over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from syne_hypersched.checks import integer, positive_integer, seconds, truth
from syne_hypersched.training._batching import Batching
from syne_hypersched.training._feed import Feed
from syne_hypersched.training._lifecycle import Lifecycle
from syne_hypersched.training._loop import Loop
from syne_hypersched.training._noise_scale import GradientNoiseScale
from syne_hypersched.training._random import derive_seed

#: Options of PyTorch's ``DataLoader`` that are truth values, or None.
_SWITCHES = ("persistent_workers", "pin_memory")


class ElasticLoader:
    """Iterates over the batches that this device computes.

    :meth:`ElasticRun.loader` makes it:

    .. code-block:: python

        batches = run.loader(train_set, batch_size=64)
        for epoch in run.epochs(10):
            for images, labels in batches:
                run.step(functional.cross_entropy(model(images), labels))
            run.report()

    A loader for training yields micro-batches, already on the device of the run, until the epoch (or the round) is
    over, and nothing more until the next one begins. Between two steps the run is checkpointed, and left, if that was
    asked for. A loader for validation divides its data among the devices and begins at the first sample each time.

    Parameters
    ----------
    loop
        Internal.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    @property
    def dataset(self) -> Any:
        """The dataset."""
        return self._loop.feed.dataset

    def __iter__(self) -> Iterator[Any]:
        return iter(self._loop)

    def __len__(self) -> int:
        """Micro-batches that this device computes in a whole epoch at the present batch size."""
        return len(self._loop.feed)


def make_loader(
    lifecycle: Lifecycle,
    dataset: Any,
    train: bool,
    shuffle: bool | None,
    measure_noise: bool,
    batching: Batching,
    **options: Any,
) -> ElasticLoader:
    """See :meth:`ElasticRun.loader`; ``options`` are those of :class:`torch.utils.data.DataLoader`."""
    truth("train", train)
    truth("measure_noise", measure_noise)
    for name, switch in (("shuffle", shuffle), *((name, options[name]) for name in _SWITCHES)):
        if switch is not None:
            truth(name, switch)
    integer("num_workers", options["num_workers"], at_least=0)
    seconds("timeout", options["timeout"])
    if options["prefetch_factor"] is not None:
        positive_integer("prefetch_factor", options["prefetch_factor"])
    if train and lifecycle.is_inside:
        raise RuntimeError("a loader for training must be made before the loop over run.epochs(), not inside it")
    if options["persistent_workers"] is None:
        options["persistent_workers"] = options["num_workers"] > 0
    if options["pin_memory"] is None:
        options["pin_memory"] = lifecycle.group.device.type == "cuda"
    number = len(lifecycle.loops)
    feed = Feed(
        dataset,
        batching,
        lifecycle.group,
        lifecycle.virtual_devices if train else None,
        train if shuffle is None else shuffle,
        derive_seed(lifecycle.seed, "loader", number),
        options,
    )
    stepper = lifecycle.stepper
    if train and (measure_noise or batching.needs_noise_scale) and stepper.noise is None:
        if not stepper.models or lifecycle.keeper.sharded is not None:
            raise ValueError(
                "batch_mode, learning_rate_rule and measure_noise need the noise scale here, for which one model must "
                f"be wrapped and not sharded, but got {len(stepper.models)} models"
            )
        stepper.noise = GradientNoiseScale(stepper.models[0].parameters(), batching.batch_size)
        lifecycle.keeper.track({"noise_scale": stepper.noise})
    loop = Loop(lifecycle, feed, train)
    lifecycle.loops.append(loop)
    lifecycle.keeper.track({f"loader_{number}": loop})
    return ElasticLoader(loop)
