"""A training run that goes on unchanged when it is relaunched on another number of devices."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from syne_hypersched.checkpoint_folder import CheckpointFolder
from syne_hypersched.checks import integer, path, positive_integer
from syne_hypersched.training._batching import Batching
from syne_hypersched.training._lifecycle import Lifecycle
from syne_hypersched.training._loader import ElasticLoader, make_loader


class ElasticRun:
    """Makes a training script elastic: it may be ended at any moment and go on, on any number of devices.

    .. code-block:: python

        with ElasticRun(args.st_checkpoint_dir, seed=args.seed) as run:
            model = run.wrap(Net())
            optimizer = run.track(optimizer=torch.optim.SGD(model.parameters(), lr=args.lr))
            batches = run.loader(train_set, batch_size=64)
            val_batches = run.loader(val_set, batch_size=256, train=False)
            for epoch in run.epochs(args.epochs):
                for images, labels in batches:
                    loss = functional.cross_entropy(model(images), labels)
                    run.step(loss)
                    run.add(train_loss=loss)
                with run.validating():
                    for images, labels in val_batches:
                        run.add(val_accuracy=(model(images).argmax(dim=1) == labels).float().mean())
                run.report()

    Works without Syne Tune's tuner and without a launcher too (``python train.py``): it is then one process on one
    device. With several, each process runs the script, with the standard environment of ``torch.distributed``.

    *Leaving.* On SIGTERM the step in progress is finished, the run is checkpointed where it is, in the middle of an
    epoch if need be, and the process leaves with the exit code :const:`~syne_hypersched.contract.EXIT_DRAINED`. When
    the run goes on, the code that follows the training loop in the body of the epoch runs again from its start, and the
    code before that loop runs again if the run goes on inside the epoch.

    *Same numbers.* With a fixed batch size, the order of samples, the global batches, augmentation in a dataset and
    :class:`BatchDropout` do not depend on the devices or on how often the run was relaunched. On the same number of
    devices a run goes on bitwise as it would have; on another one, sums are taken in another order, unless there are
    virtual devices, and batch normalisation and :class:`torch.nn.Dropout` change.

    Parameters
    ----------
    checkpoint_dir
        Folder for checkpoints, which Syne Tune passes as ``--st_checkpoint_dir``; None: nothing is kept.
    seed
        Seed of everything random.
    keep
        Checkpoints to keep, at least 1.
    checkpoint_every_s
        Seconds from one checkpoint to the next inside an epoch, which is what a crash costs at most; None: the run is
        only checkpointed when it reports.
    virtual_devices
        None, or a multiple of every number of devices that the run may get: each step is computed as if on that many,
        which makes the weights bitwise the same on any number of devices of one kind, and the steps slower.
    reporter
        Called with the metrics as keyword arguments; by default :class:`syne_tune.Reporter`.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; the message names it.
    """

    def __init__(
        self,
        checkpoint_dir: str | Path | None = None,
        *,
        seed: int = 0,
        keep: int = 2,
        checkpoint_every_s: float | None = None,
        virtual_devices: int | None = None,
        reporter: Callable[..., None] | None = None,
    ) -> None:
        seed, keep = integer("seed", seed, -(2**63), 2**64 - 1), positive_integer("keep", keep)
        folder = None if checkpoint_dir is None else CheckpointFolder(path("checkpoint_dir", checkpoint_dir), keep)
        self._lifecycle = Lifecycle(folder, seed, checkpoint_every_s, virtual_devices, reporter)

    def __enter__(self) -> ElasticRun:
        self._lifecycle.listen()
        return self

    def __exit__(self, *error: object) -> None:
        self._lifecycle.close()

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        return self._lifecycle.group.device

    @property
    def num_devices(self) -> int:
        """Devices, and processes, that train now, or as soon as this one does."""
        return self._lifecycle.group.size

    @property
    def is_main(self) -> bool:
        """Whether this is the process that reports."""
        return self._lifecycle.is_main

    @property
    def num_steps(self) -> int:
        """Steps that the run has taken, in all of its launches."""
        return self._lifecycle.steps.num

    @property
    def noise_scale(self) -> float | None:
        """Gradient noise scale in samples; None where it is not measured or not known yet."""
        return self._lifecycle.noise_scale

    def wrap(
        self,
        model: nn.Module,
        *,
        shard_units: tuple[type[nn.Module], ...] | None = None,
        find_unused_parameters: bool = False,
    ) -> nn.Module:
        """Moves a model to the device, keeps it in checkpoints, and synchronises it over all devices.

        Parameters
        ----------
        model
            The model. Make its optimisers afterwards.
        shard_units
            None: each device has a whole copy (DistributedDataParallel). Classes of modules: the parameters are sharded
            over the devices (FSDP), and the modules of these classes are the units in which they are gathered.
        find_unused_parameters
            Whether some parameters do not take part in every step.

        Returns
        -------
        torch.nn.Module
            The module to call in the forward pass: the model, or what looks like it and keeps its replicas alike.

        Raises
        ------
        ValueError
            A second model is sharded, or any model where there are virtual devices.
        """
        return self._lifecycle.add_model(model, shard_units, find_unused_parameters)

    def track(self, **objects: Any) -> Any:
        """Keeps objects in checkpoints: optimisers, learning rate schedulers, gradient scalers, averaged models.

        Parameters
        ----------
        **objects
            Objects with ``state_dict`` and ``load_state_dict``, by any names. :meth:`step` steps those that are
            optimisers, and uses a :class:`torch.amp.GradScaler` if there is one.

        Returns
        -------
        object or tuple
            The objects, in order.

        Raises
        ------
        TypeError
            An object lacks one of the methods.
        ValueError
            The name is taken.
        """
        self._lifecycle.keeper.track(objects)
        things = tuple(objects.values())
        return things[0] if len(things) == 1 else things

    def warm_up(self, function: Callable[[], object]) -> None:
        """Calls a function in a process that joins others, before it is let in; see ``docs/joining.md``.

        Parameters
        ----------
        function
            What takes long the first time, such as a forward and a backward pass of a compiled model on random input.
            Weights, gradients and the states of random generators may change; optimisers must not step.
        """
        self._lifecycle.warm_up(function)

    def loader(
        self,
        dataset: Any,
        batch_size: int,
        *,
        train: bool = True,
        shuffle: bool | None = None,
        batch_mode: Literal["fixed", "weak", "goodput"] = "fixed",
        max_batch_size: int | None = None,
        max_local_batch_size: int | None = None,
        learning_rate_rule: Literal["adascale", "square_root", "linear"] = "adascale",
        measure_noise: bool = False,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        worker_init_fn: Callable[[int], None] | None = None,
        persistent_workers: bool | None = None,
        prefetch_factor: int | None = None,
        multiprocessing_context: Any = None,
        timeout: float = 0,
        pin_memory: bool | None = None,
    ) -> ElasticLoader:
        """Makes a loader that divides each global batch among the devices.

        Parameters
        ----------
        dataset
            Has ``__len__`` and ``__getitem__``. A :class:`~torch.utils.data.TensorDataset` is indexed by whole batches.
        batch_size
            Global batch size.
        train
            Whether the model is trained with it; otherwise its samples only count in averages.
        shuffle
            Whether each epoch has its own order; by default if ``train``.
        batch_mode
            ``"fixed"``: the global batch is the same on any number of devices. ``"weak"``: ``batch_size`` is that of
            one device. ``"goodput"``: it is chosen between ``batch_size`` and ``max_batch_size``, in each epoch and for
            each number of devices, so that progress per second is greatest, from step times and noise (Pollux).
        max_batch_size
            Largest global batch size, for ``"goodput"``.
        max_local_batch_size
            Samples that fit into the memory of a device; larger shares are computed in micro-batches.
        learning_rate_rule
            How the learning rate follows a batch that differs from ``batch_size``: ``"adascale"``, ``"square_root"`` or
            ``"linear"``; see :func:`learning_rate_factor`.
        measure_noise
            Whether to measure and report the gradient noise scale, even if nothing depends on it.
        num_workers
            Processes that fetch samples; 0: this process does.
        collate_fn
            Makes a batch of a list of samples; by default that of PyTorch.
        worker_init_fn
            Called in each worker process with its number when it starts.
        persistent_workers
            Whether worker processes live until the run ends; by default they do.
        prefetch_factor
            Batches that each worker process fetches in advance; by default PyTorch's number, 2.
        multiprocessing_context
            How worker processes are started, such as ``"spawn"``; by default as Python does.
        timeout
            Seconds to wait for a batch of a worker process before it is an error; 0: for ever.
        pin_memory
            Whether batches are put into page-locked memory; by default if the device is a GPU.

        Raises
        ------
        TypeError
            The dataset has no length or cannot be indexed, a size is not an integer, or a switch is not a truth value.
        RuntimeError
            It is for training, and an epoch has begun.
        ValueError
            ``batch_mode`` or ``learning_rate_rule`` is unknown; a size is below 1; ``max_batch_size`` is missing with
            ``"goodput"``, below ``batch_size``, or given with another mode; virtual devices are combined with another
            mode than ``"fixed"``, or their shares exceed ``max_local_batch_size``; the noise scale is needed and no
            model was wrapped before, or it is sharded; or PyTorch's ``DataLoader`` refuses its options.
        """
        return make_loader(
            self._lifecycle,
            dataset,
            train,
            shuffle,
            measure_noise,
            Batching(
                batch_mode,
                batch_size,
                self.num_devices,
                max_batch_size,
                max_local_batch_size,
                learning_rate_rule,
                self._lifecycle.virtual_devices if train else None,
            ),
            num_workers=num_workers,
            collate_fn=collate_fn,
            worker_init_fn=worker_init_fn,
            persistent_workers=persistent_workers,
            prefetch_factor=prefetch_factor,
            multiprocessing_context=multiprocessing_context,
            timeout=timeout,
            pin_memory=pin_memory,
        )

    def epochs(self, num_epochs: int) -> Iterator[int]:
        """Restores the run, and yields the number of each epoch that is left, counted from 1.

        Parameters
        ----------
        num_epochs
            Epochs of the whole run, over all launches.

        Raises
        ------
        CheckpointError
            There are checkpoints, but none of them is whole.
        RuntimeError
            The checkpoint belongs to a run that tracks other objects.
        TypeError, ValueError
            ``num_epochs`` is not an integer of at least 0.
        """
        return self._lifecycle.rounds(integer("num_epochs", num_epochs, at_least=0), None)

    def rounds(self, num_rounds: int, num_steps: int) -> Iterator[int]:
        """As :meth:`epochs`, but a round is the samples of ``num_steps`` batches, for data whose epochs take too long.

        A loader for training yields whole steps until it has yielded that many samples, and goes on with the same epoch
        in the next round; an epoch whose last batch is smaller makes a round one step longer. Rungs count rounds then:
        ``max_t`` of a scheduler is ``num_rounds``.

        Parameters
        ----------
        num_rounds
            Rounds of the whole run, over all launches.
        num_steps
            Batches of a round, at least 1.

        Raises
        ------
        TypeError, ValueError
            ``num_rounds`` is not an integer of at least 0, or ``num_steps`` not one of at least 1.
        """
        num_rounds = integer("num_rounds", num_rounds, at_least=0)
        return self._lifecycle.rounds(num_rounds, positive_integer("num_steps", num_steps))

    def step(self, loss: Tensor, max_norm: float | None = None) -> bool:
        """Computes the gradients of a micro-batch and, if a step ends with it, steps all tracked optimisers.

        Parameters
        ----------
        loss
            Mean over the samples that the loader has given to this device.
        max_norm
            Norm to which the gradient of a step is clipped; None: it is not clipped.

        Returns
        -------
        bool
            Whether the optimisers have stepped.

        Raises
        ------
        RuntimeError
            No loop over a loader for training runs.
        """
        return self._lifecycle.step(loss, max_norm)

    def add(self, **means: Tensor | float) -> None:
        """Adds means over the samples of the present micro-batch to the averages that :meth:`report` reports.

        Parameters
        ----------
        **means
            Single numbers, or tensors with one, by the names under which they are reported.

        Raises
        ------
        RuntimeError
            No loop over a loader runs.
        TypeError, ValueError
            A mean is not a single number.
        """
        self._lifecycle.averages.add(self._lifecycle.present_part().num_samples, **means)

    def means(self) -> dict[str, float]:
        """The averages of what was added in this epoch, over all devices; all processes have to call it together."""
        return self._lifecycle.averages.means()

    def validating(self) -> contextlib.AbstractContextManager[None]:
        """Puts the models into evaluation mode, and keeps no gradients, inside a ``with`` block."""
        return self._lifecycle.stepper.evaluating()

    def report(self, **metrics: Any) -> dict[str, Any]:
        """Ends an epoch: checkpoints the run and, once that is durable, reports. All processes have to call it.

        Parameters
        ----------
        **metrics
            Go into the report beside ``epoch``, the averages, and what was measured of the steps: numbers, tensors of
            no dimension, booleans, texts, and lists and dictionaries of them. Those of rank 0 count.

        Returns
        -------
        dict
            The report, the same in every process.

        Raises
        ------
        RuntimeError
            The epoch was reported before, or none has begun.
        TypeError
            A metric is something else, such as None or a tensor with a dimension. The epoch has not ended then.
        ValueError
            A name begins with ``st_``, or the report is too long.
        """
        return self._lifecycle.report(metrics)
