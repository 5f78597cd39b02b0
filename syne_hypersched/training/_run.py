"""A training run whose number of devices may change whenever it is relaunched, and that does not notice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from syne_hypersched.training._batching import Batching
from syne_hypersched.training._checkpoints import CheckpointFolder
from syne_hypersched.training._dropout import bind_dropout
from syne_hypersched.training._lifecycle import Lifecycle
from syne_hypersched.training._loader import ElasticLoader
from syne_hypersched.training._metrics import plain_metrics
from syne_hypersched.training._noise_scale import GradientNoiseScale
from syne_hypersched.training._random import derive_seed


class ElasticRun(Lifecycle):
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
    epoch if need be, and the process leaves with the exit code :const:`~syne_hypersched.contract.EXIT_DRAINED`. What
    the body of the epoch does after the loop over a training loader is done again from its start when the run goes on,
    and what it does before that loop is done again when the run goes on inside the epoch.

    *Same numbers.* With a fixed batch size, the order of samples, the global batches, augmentation in a dataset and
    :class:`BatchDropout` do not depend on the devices or on how often the run was relaunched. On the same number of
    devices a run goes on bitwise as it would have; on another one, sums are taken in another order, unless there are
    virtual devices, and batch normalisation and :class:`torch.nn.Dropout` change.

    Parameters
    ----------
    checkpoint_dir
        Folder for checkpoints, which Syne Tune passes as ``--st_checkpoint_dir``; None: nothing is kept.
    seed
        Of everything random.
    keep
        Checkpoints to keep, at least 1.
    checkpoint_every_s
        Seconds after which the run is checkpointed inside an epoch, so that a crash costs no more than that; None: only
        when it reports.
    virtual_devices
        None, or a multiple of every number of devices that the run may get: each step is computed as if on so many,
        which makes the weights bitwise the same on any number of devices of one kind, and the steps slower.
    reporter
        Called with the metrics as keyword arguments; by default :class:`syne_tune.Reporter`.

    Raises
    ------
    ValueError
        ``keep`` is below 1, ``checkpoint_every_s`` is not above 0, or ``virtual_devices`` is no multiple of the
        devices.
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
        folder = None if checkpoint_dir is None else CheckpointFolder(checkpoint_dir, keep)
        super().__init__(folder, seed, checkpoint_every_s, virtual_devices, reporter)

    def __enter__(self) -> ElasticRun:
        self._interruptions.listen()
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    # What a script hands over.

    def wrap(
        self,
        model: nn.Module,
        *,
        shard_units: tuple[type[nn.Module], ...] | None = None,
        find_unused_parameters: bool = False,
    ) -> nn.Module:
        """Moves a model to the device, keeps it in checkpoints, and has it trained by all devices together.

        Parameters
        ----------
        model
            The model; its optimisers are to be made afterwards.
        shard_units
            None: each device has a whole copy (DistributedDataParallel). Classes of modules: the parameters are sharded
            over the devices (FSDP), and the modules of these classes are the units in which they are gathered.
        find_unused_parameters
            Whether some parameters do not take part in every step.

        Returns
        -------
        torch.nn.Module
            What is to be called in the forward pass; on one device, the model itself.

        Raises
        ------
        ValueError
            A second model is to be sharded, or any where there are virtual devices.
        """
        model = model.to(self.device)
        bind_dropout(model, self._place)
        wrapped = model
        if shard_units is not None:
            from syne_hypersched.training._sharded import shard  # whose imports most runs need not wait for

            if self.virtual_devices is not None:
                raise ValueError("shard_units must be None where there are virtual devices, but got some")
            if self._keeper.sharded is not None:
                raise ValueError("shard_units can be given for one model of a run, but got it for a second one")
            wrapped = self._keeper.sharded = shard(model, self.group, shard_units)
        else:
            self.track(**{f"model_{len(self._stepper.models)}": model})
            if (
                self.virtual_devices is None
                and self.num_devices > 1
                and any(p.requires_grad for p in model.parameters())
            ):
                wrapped = DistributedDataParallel(model, find_unused_parameters=find_unused_parameters)
        self._stepper.add_model(wrapped)
        return wrapped

    def track(self, **objects: Any) -> Any:
        """Keeps objects in checkpoints: optimisers, learning rate schedulers, gradient scalers, averaged models.

        Parameters
        ----------
        **objects
            Things with ``state_dict`` and ``load_state_dict``, by any names. :meth:`step` steps those that are
            optimisers, and uses a :class:`torch.amp.GradScaler` if there is one.

        Returns
        -------
        object or tuple
            What was given, in order.

        Raises
        ------
        TypeError
            An object lacks one of the methods.
        ValueError
            The name is taken.
        """
        for name, thing in objects.items():
            if not (callable(getattr(thing, "state_dict", None)) and callable(getattr(thing, "load_state_dict", None))):
                raise TypeError(f"{name} must have state_dict and load_state_dict, but got {type(thing).__name__}")
            if name in self._keeper.objects:
                raise ValueError(f"{name!r} must be a name that is not taken, but something is tracked by it already")
            self._keeper.objects[name] = thing
        things = tuple(objects.values())
        return things[0] if len(things) == 1 else things

    def loader(
        self,
        dataset: Any,
        batch_size: int,
        *,
        train: bool = True,
        shuffle: bool | None = None,
        batch_mode: str = "fixed",
        max_batch_size: int | None = None,
        max_local_batch_size: int | None = None,
        learning_rate_rule: str = "adascale",
        measure_noise: bool = False,
        **options: Any,
    ) -> ElasticLoader:
        """A loader that divides each global batch among the devices.

        Parameters
        ----------
        dataset
            Has ``__len__`` and ``__getitem__``. A :class:`~torch.utils.data.TensorDataset` is indexed by whole batches.
        batch_size
            Global batch size.
        train
            Whether the model is trained with it; otherwise its samples only count in averages.
        shuffle
            Whether each epoch has an order of its own; by default if ``train``.
        batch_mode
            ``"fixed"``: the global batch stays as it is on any number of devices. ``"weak"``: ``batch_size`` is that of
            one device. ``"goodput"``: it is chosen between ``batch_size`` and ``max_batch_size``, at the start of each
            epoch and launch, so that progress per second is greatest, from measured step times and noise (Pollux).
        max_batch_size
            Largest global batch size, for ``"goodput"``.
        max_local_batch_size
            Samples that fit into the memory of a device; larger shares are computed in micro-batches.
        learning_rate_rule
            How the learning rate follows a batch that differs from ``batch_size``: ``"adascale"``, ``"square_root"`` or
            ``"linear"``; see :func:`learning_rate_factor`.
        measure_noise
            Whether to measure the gradient noise scale, which is then reported, even if nothing depends on it.
        **options
            For :class:`torch.utils.data.DataLoader`: ``num_workers``, ``collate_fn``, ``prefetch_factor`` and so on.

        Raises
        ------
        TypeError
            The dataset has no length or cannot be indexed.
        RuntimeError
            It is for training, and an epoch has begun.
        ValueError
            See :class:`Batching`; or the noise scale is needed and no model was wrapped before, or it is sharded.
        """
        if train and self.is_inside:
            raise RuntimeError("a loader for training must be made before the loop over run.epochs(), not inside it")
        batching = Batching(
            batch_mode,
            batch_size,
            self.num_devices,
            max_batch_size,
            max_local_batch_size,
            learning_rate_rule,
            self.virtual_devices if train else None,
        )
        number = len(self._loaders)
        seed = derive_seed(self._seed, "loader", number)
        loader = ElasticLoader(self, dataset, batching, train, train if shuffle is None else shuffle, seed, options)
        if train and (measure_noise or batching.needs_noise_scale) and self._stepper.noise is None:
            models = self._stepper.models
            if not models or self._keeper.sharded is not None:
                raise ValueError(
                    "batch_mode, learning_rate_rule and measure_noise need the noise scale here, for which one model "
                    f"must be wrapped and not sharded, but got {len(models)} models"
                )
            self._stepper.noise = self.track(noise_scale=GradientNoiseScale(models[0].parameters(), batch_size))
        self._loaders.append(loader)
        self.track(**{f"loader_{number}": loader})
        return loader

    # What a script does.

    def epochs(self, num_epochs: int) -> Iterator[int]:
        """Restores the run where it was, and yields the number of each epoch that is left; the first of all is 1."""
        return self._rounds(num_epochs, None)

    def rounds(self, num_rounds: int, num_steps: int) -> Iterator[int]:
        """As :meth:`epochs`, but a round is the samples of ``num_steps`` batches, for data whose epochs take too long.

        A loader for training yields whole steps until it has yielded so many samples, and goes on with the same epoch
        in the next round; an epoch whose last batch is smaller makes a round one step longer. Rungs count rounds then:
        ``max_t`` of a scheduler is ``num_rounds``.

        Raises
        ------
        ValueError
            ``num_steps`` is below 1.
        """
        if num_steps < 1:
            raise ValueError(f"num_steps must be at least 1, but got {num_steps!r}")
        return self._rounds(num_rounds, num_steps)

    def step(self, loss: Tensor, max_norm: float | None = None) -> bool:
        """The backward pass of a micro-batch and, if a step ends with it, that of all tracked optimisers.

        Parameters
        ----------
        loss
            Mean over the samples that the loader has given to this device.
        max_norm
            Norm to which the gradient of a step is clipped; None: it is not.

        Returns
        -------
        bool
            Whether the optimisers have stepped.
        """
        part, loader = self._present_part(), self._present_loader()
        has_stepped = self._stepper.step(loss, part, loader.batching, max_norm)
        if has_stepped and loader.has_open(part):
            self.count_step()
        return has_stepped

    def add(self, **means: Tensor | float) -> None:
        """Adds means over the samples of the present micro-batch to the averages that :meth:`report` reports."""
        self._averages.add(self._present_part().num_samples, **means)

    def means(self) -> dict[str, float]:
        """The averages of what was added in this epoch, over all devices; all processes have to call it together."""
        return self._averages.means()

    @contextlib.contextmanager
    def validating(self) -> Iterator[None]:
        """Inside the block the models are in evaluation mode and no gradients are kept."""
        models = self._stepper.models
        modes = [model.training for model in models]
        for model in models:
            model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for model, mode in zip(models, modes, strict=True):
                model.train(mode)

    def report(self, **metrics: Any) -> dict[str, Any]:
        """Ends an epoch: checkpoints the run and, once that is durable, reports, on rank 0. All processes have to call.

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
        if not self.is_inside:
            raise RuntimeError("report() must be called once in each epoch, but it has ended or not begun")
        found = {"epoch": self._num_rounds + 1, **self._averages.means()}
        loader = next((loader for loader in self._loaders if loader.is_for_training), None)
        if loader is not None:
            loader.finish_measuring()
            found |= loader.batching.measurements(self.noise_scale)
        agreed: dict[str, Any]
        agreed, error = self.group.broadcast(_checked(found | metrics) if self.is_main else None)
        if error is not None:
            raise error
        self._end_round(agreed)
        return agreed


def _checked(metrics: dict[str, Any]) -> tuple[dict[str, Any], Exception | None]:
    """The report, or what is wrong with it, for all processes: if one of them raised, the others would wait for it."""
    try:
        return plain_metrics(metrics), None
    except (TypeError, ValueError) as error:
        return {}, error
