"""The elastic callback of Lightning, for both names of the package."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader

from syne_hypersched import checks
from syne_hypersched._wording import counted
from syne_hypersched.contract import BATCH_SIZE, EXIT_DRAINED
from syne_hypersched.integrations._batches import Share, num_processes, share_of
from syne_hypersched.integrations._frozen import freeze_again, frozen_notes, release
from syne_hypersched.integrations._lightning_epochs import (
    can_go_on_inside,
    go_on,
    is_validation_next,
    leave_epoch_behind,
    plateaus,
    step_plateaus,
)
from syne_hypersched.integrations._lightning_trainer import (
    Exchange,
    check_trainer,
    count_steps,
    fingerprint,
    keep_whole_steps,
    move_paths,
)
from syne_hypersched.integrations._order import ElasticSampler, EpochOrder, SamplerOrder, order_of
from syne_hypersched.integrations._ranks import Ranks
from syne_hypersched.integrations._saved import Saved
from syne_hypersched.integrations._sigterm import Sigterm

logger = logging.getLogger(__name__)

_FILE = "lightning.ckpt"

_FOLDER = "folder"
"""Name in the notes of a checkpoint: the folder in which it was written."""
_STOPS = "stops"
"""Name in the notes of a checkpoint: whether the run was to stop early, which a trainer does not store."""
_MEASURED = "measured"
"""Name in the notes of a checkpoint: the last epoch with a validation, and the measured values."""
_PLATEAUS = "plateaus"
"""Name in the notes of a checkpoint: metrics with which schedulers such as ReduceLROnPlateau must still step."""


class ElasticHooks:
    """See ``ElasticCallback``. Trainer and module have type Any, because two packages define them."""

    def __init__(
        self,
        checkpoint_dir: str | os.PathLike[str],
        metrics: tuple[str, ...] = ("val_loss",),
        *,
        global_batch_size: int,
        max_local_batch_size: int | None = None,
        reporter: Callable[..., None] | None = None,
    ) -> None:
        super().__init__()
        self._names = checks.names("metrics", metrics)
        if not self._names:
            raise ValueError("metrics must name at least one metric, but got none")
        self._global_batch_size = global_batch_size
        self._num_devices = num_processes()  # Lightning removes the variable after the first fit
        self._share: Share = share_of(global_batch_size, self._num_devices, max_local_batch_size)
        self._saved = Saved(str(checks.path("checkpoint_dir", checkpoint_dir)), 2, reporter)
        self._ranks = Ranks()
        self._sigterm = Sigterm()
        self._exchange = Exchange()
        self._trainer: Any = None
        #: Where this launch continues: the epoch, and the number of its steps that are done.
        self._goes_on_at = (0, 0)
        #: Whether the checkpoint of the last launch was loaded.
        self._has_loaded = False
        #: Whether the training data were read before the checkpoint was loaded.
        self._has_read_early = False
        #: Whether a run that was interrupted inside an epoch continues with the epoch's remaining samples.
        self._keeps_order = True
        #: The trainer whose steps are patched.
        self._set_up: Any = None
        #: Whether the training data have the order of our sampler, and whether they are known to be divided.
        self._is_in_order = self._is_divided = False
        #: The user's sampler before Lightning divides it, and a digest of its order, if the order is not known.
        self._own_sampler: Any = None
        self._order_print: str | None = None
        #: The last epoch with a validation, and the measured values.
        self._measured_in: tuple[int, dict[str, float]] = (-1, {})
        #: Replaced attributes of Lightning's and the user's objects, which are restored after training.
        self._replaced: list[tuple[Any, str, Any]] = []

    @property
    def ckpt_path(self) -> str | None:
        """For ``trainer.fit(ckpt_path=...)``: the checkpoint from which this launch continues; None: there is none."""
        newest = self._saved.newest
        return None if newest is None else os.path.join(newest, _FILE)

    @property
    def num_devices(self) -> int:
        """For ``Trainer(devices=...)``: number of devices of this launch."""
        return self._num_devices

    @property
    def local_batch_size(self) -> int:
        """For ``DataLoader(batch_size=...)`` of the training data: number of samples of a micro-batch on one device."""
        return self._share.local_batch_size

    @property
    def accumulation_steps(self) -> int:
        """Number of micro-batches of a step on one device; the trainer gets this number."""
        return self._share.accumulation_steps

    # Hooks of Lightning, in the order in which it calls them.

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Sets the number of micro-batches of a step in the trainer, and the order of the training data."""
        if stage != "fit":
            return
        if trainer.world_size != self._num_devices:
            raise ValueError(
                f"devices of the trainer must be num_devices of the callback, {self._num_devices}, but the trainer "
                f"has {trainer.world_size}"
            )
        self._trainer = trainer
        # After all other callbacks, whose states it saves. The trainer's checkpoint_callback is then one of the others.
        trainer.callbacks = [*(each for each in trainer.callbacks if each is not self), self]
        if self._set_up is not trainer:
            self._set_up = trainer
            check_trainer(trainer, pl_module, self._share.accumulation_steps)
            count_steps(trainer, self._share.accumulation_steps)
            trainer.accumulate_grad_batches = self._share.accumulation_steps
        strategy, connector = trainer.strategy, trainer._data_connector
        load, process, prepare = strategy.load_checkpoint, strategy.process_dataloader, connector._prepare_dataloader

        wrap = strategy._setup_model

        def setup_model(model: Any) -> Any:
            self._exchange.begin(model)
            return wrap(model)

        def load_checkpoint(path: Any, *rest: Any, **options: Any) -> Any:
            # A file written by this run itself may contain any object, such as hyperparameters.
            return load(path, weights_only=False) if str(path) == self.ckpt_path else load(path, *rest, **options)

        def prepare_dataloader(loader: Any, *rest: Any, **options: Any) -> Any:
            if trainer.training:
                self._look_at(loader)
            return prepare(loader, *rest, **options)

        def process_dataloader(loader: Any) -> Any:
            loader = process(loader)
            return self._in_order(loader) if trainer.training else loader

        self._replace(strategy, "load_checkpoint", load_checkpoint)
        self._replace(strategy, "_setup_model", setup_model)
        self._replace(strategy, "process_dataloader", process_dataloader)
        self._replace(connector, "_prepare_dataloader", prepare_dataloader)

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Counts the micro-batches of the current epoch again, for the current number of devices."""
        if trainer.state.fn != "fit":
            return
        self._has_loaded = trainer._checkpoint_connector._ckpt_path == self.ckpt_path
        if not self._has_loaded:
            return
        notes = self._saved.notes
        if _FOLDER in notes:
            move_paths(checkpoint.get("callbacks", {}), notes[_FOLDER], self._saved.folder.path)
        release(pl_module, notes)
        now = self._share.accumulation_steps
        self._goes_on_at = go_on(checkpoint["loops"]["fit_loop"], notes.get("accumulation_steps", now), now)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Delivers the report of the last launch, if that was not done."""
        # A scheduler may have asked for the number of steps.
        self._has_read_early = trainer.fit_loop._data_fetcher is not None
        if self._ranks.is_main:
            self._saved.begin()

    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:
        """Handles SIGTERM in place of Lightning, which has just set its own handler."""
        self._sigterm.listen()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Handles SIGTERM in place of Lightning, whose handler makes the processes wait for each other.

        Raises
        ------
        ValueError
            ``ckpt_path`` of ``fit`` is not that of the callback, so the run would start again in each launch.
        """
        if self._saved.newest is not None and not self._has_loaded and trainer.global_step == 0:
            raise ValueError(
                f"ckpt_path of fit must be ckpt_path of the callback, {self.ckpt_path!r}, since the run goes on from "
                f"there, but got {trainer.ckpt_path!r}"
            )
        self._sigterm.listen()
        keep_whole_steps(trainer, self._share.accumulation_steps)
        if not self._has_loaded:
            return
        self._has_loaded = False
        # Otherwise each launch would begin with the same random numbers.
        torch.manual_seed((torch.initial_seed() + trainer.global_step) % 2**63)
        notes = self._saved.notes
        freeze_again(pl_module, notes)
        epoch, measured = notes.get(_MEASURED, (-1, {}))
        self._measured_in = epoch, measured
        leave_epoch_behind(trainer)
        step_plateaus(trainer, notes.get(_PLATEAUS, {}))
        trainer.should_stop = trainer.should_stop or notes.get(_STOPS, False)
        if self._has_read_early:  # before the place in the data was known
            iter(trainer.fit_loop._data_fetcher)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Checks whether more parameters are trained now and, once, whether each process has different samples."""
        self._exchange.keep_up(trainer.strategy)
        if self._is_divided:
            return
        self._is_divided = True
        if len(set(self._ranks.gather(self._order_print))) > 1:
            raise ValueError(
                f"sampler of the training data must yield the same samples in each process, but {self._own_sampler!r} "
                "does not; give its generator of random numbers a seed"
            )
        prints = self._ranks.gather(None if self._is_in_order else fingerprint(batch))
        if len(prints) > 1 and prints[0] is not None and len(set(prints)) == 1:
            raise ValueError(
                f"the training data must be divided over the {len(prints)} processes, but all of them begin with the "
                "same batch; for an IterableDataset, yield only each trainer.world_size-th sample, from "
                "trainer.global_rank on"
            )

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Starts an agreement with the other processes while the optimiser steps."""
        if trainer.optimizers and optimizer is trainer.optimizers[0]:
            self._ranks.begin_agreement(self._sigterm.has_come)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Exits at the end of a step if any process must."""
        loop = trainer.fit_loop.epoch_loop
        if loop._should_accumulate() or not self._ranks.agree(self._sigterm.has_come):
            return
        if loop._num_ready_batches_reached() or is_validation_next(trainer):
            return  # the validation comes first, since the next launch would leave it out
        if self._keeps_order and can_go_on_inside(trainer, self._names):
            step_plateaus(trainer, plateaus(trainer, "step"))
            self._save(trainer, None)
        self._leave(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Stores the values measured in the present epoch, since the run may be ended before they are reported."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._measured_in = trainer.current_epoch, self._means(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Saves, reports, and exits if any process must."""
        is_whole = trainer.fit_loop.epoch_loop._num_ready_batches_reached()
        is_measured = not trainer.enable_validation or self._measured_in[0] == trainer.current_epoch
        report = self._measured(trainer) if is_whole and is_measured else None
        due = plateaus(trainer, "epoch") if is_whole else {}
        if trainer.fit_loop.restarting:
            step_plateaus(trainer, due)  # the trainer does not, if an earlier launch has begun the epoch
            due = {}
        self._save(trainer, report, due)
        if self._ranks.agree(self._sigterm.has_come):
            self._leave(trainer)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Restores the handler of SIGTERM and all replaced attributes."""
        self._sigterm.close()
        while self._replaced:
            target, name, value = self._replaced.pop()
            setattr(target, name, value)

    def _replace(self, target: Any, name: str, value: Any) -> None:
        self._replaced.append((target, name, getattr(target, name)))
        setattr(target, name, value)

    def _measured(self, trainer: Any) -> dict[str, Any]:
        epoch, measured = self._measured_in
        # Values that an earlier launch measured in the same epoch are not available any more.
        means = {**(measured if epoch == trainer.current_epoch else {}), **self._means(trainer)}
        missing = [name for name in self._names if name not in means]
        if missing:
            raise ValueError(
                f"metrics must be names of logged values ({', '.join(sorted(trainer.callback_metrics))}), but "
                f"got {', '.join(map(repr, missing))}"
            )
        chosen = {name: means[name] for name in self._names}
        return {"epoch": trainer.current_epoch + 1, **chosen, BATCH_SIZE: self._global_batch_size}

    def _means(self, trainer: Any) -> dict[str, float]:
        """The metrics that are already available. Each process may have logged the mean over its own samples."""
        found = trainer.callback_metrics
        return {
            name: float(trainer.strategy.reduce(torch.as_tensor(found[name]).detach(), reduce_op="mean"))
            for name in self._names
            if name in found
        }

    def _save(self, trainer: Any, report: dict[str, Any] | None, due: dict[str, float] | None = None) -> None:
        aside = self._ranks.broadcast(self._saved.folder.begin() if self._ranks.is_main else None)
        trainer.save_checkpoint(os.path.join(aside, _FILE))
        self._ranks.wait()
        if self._ranks.is_main:
            notes = {
                "accumulation_steps": self._share.accumulation_steps,
                _FOLDER: os.path.realpath(self._saved.folder.path),
                _STOPS: bool(trainer.should_stop),
                _MEASURED: self._measured_in,
                _PLATEAUS: due or {},
                **frozen_notes(trainer.lightning_module),
            }
            self._saved.commit(aside, report, **notes)

    def _leave(self, trainer: Any) -> None:
        self._ranks.wait()
        if self._ranks.is_main:
            logger.warning("Leaving on SIGTERM in epoch %d, after %s.", trainer.current_epoch + 1,
                           counted(trainer.global_step, "step"))  # fmt: skip
        raise SystemExit(EXIT_DRAINED)

    def _place(self) -> tuple[int, int]:
        """The epoch, and the number of its steps that earlier launches have done."""
        epoch = int(self._trainer.fit_loop.epoch_progress.current.processed)
        return epoch, self._goes_on_at[1] if epoch == self._goes_on_at[0] else 0

    def _in_order(self, loader: Any) -> Any:
        """A loader of the training data, with an order of samples that does not depend on the devices."""
        if not isinstance(loader, DataLoader):
            self._keeps_order = hasattr(loader, "state_dict")
            return loader
        order = self._order_of(loader)
        is_repeatable = order is not None
        if isinstance(order, SamplerOrder):
            is_repeatable, self._order_print = order.look()
        if not is_repeatable:
            self._keeps_order = hasattr(loader, "state_dict")
            if not self._keeps_order:
                logger.warning(
                    "The training data are in an order of their own (%s): a run that is left inside an epoch begins "
                    "this epoch again.", type(self._own_sampler or loader).__name__,
                )  # fmt: skip
        if order is None:
            return loader
        self._is_in_order = True
        trainer, batches = self._trainer, loader.batch_sampler
        assert isinstance(batches, BatchSampler)
        sampler = ElasticSampler(
            order, self._share, trainer.world_size, trainer.global_rank, batches.drop_last, self._place
        )
        self._replace(batches, "sampler", sampler)  # on one device, this is the user's own loader
        return loader

    def _look_at(self, loader: Any) -> None:
        """Keeps the user's sampler, and checks the batches, before Lightning divides the loader.

        Lightning shuffles all data that it divides, even if they have the order of the data set or of a sampler.
        """
        batches = getattr(loader, "batch_sampler", None)
        self._own_sampler = getattr(batches, "sampler", None)
        if not isinstance(loader, DataLoader):
            return
        size = getattr(batches, "batch_size", loader.batch_size)
        if size not in (None, self.local_batch_size):
            raise ValueError(
                f"batch_size of the training data must be local_batch_size of the callback, {self.local_batch_size}, "
                f"but got {size}"
            )
        if type(batches) not in (BatchSampler, type(None)) and self._share.local_batch_size != self._global_batch_size:
            raise ValueError(
                "batch_sampler of the training data must be left out where a step is divided into "
                f"{self._global_batch_size // self._share.local_batch_size} parts, since it would not be known which "
                f"samples are a step, but got {batches!r}; use sampler and batch_size"
            )

    def _order_of(self, loader: DataLoader[Any]) -> EpochOrder | None:
        """The order of the training data, if it can be kept on any number of devices."""
        if type(loader.batch_sampler) is not BatchSampler:
            return None
        order = order_of(self._own_sampler, loader.dataset, int(os.environ.get("PL_GLOBAL_SEED", 0)))
        # Otherwise the user's own sampler divides the samples.
        is_divided_here = self._trainer._accelerator_connector.use_distributed_sampler
        return order if is_divided_here or not isinstance(order, SamplerOrder) else None
