"""A ``transformers.Trainer`` as an elastic trial.

.. code-block:: python

    trainer = elastic_trainer(Trainer(model, args, train_dataset=..., eval_dataset=...), metrics=("eval_loss",))
    trainer.train()

The checkpoint folder is ``output_dir`` of the trainer. So if the script reads its arguments with ``HfArgumentParser``,
the backend gets ``arguments=["--output_dir", "{st_checkpoint_dir}", "{...}"]``.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from syne_hypersched import checks
from syne_hypersched._extras import needs_extra
from syne_hypersched._wording import counted

with needs_extra(__name__, "huggingface"):
    import torch.distributed as dist
    from transformers import Trainer, TrainerCallback, set_seed

from syne_hypersched.contract import BATCH_SIZE, EXIT_DRAINED
from syne_hypersched.integrations import _hf_arguments as arguments
from syne_hypersched.integrations._batches import Share, num_processes, share_of
from syne_hypersched.integrations._frozen import freeze_again, frozen_notes
from syne_hypersched.integrations._hf_best import Best, trainer_folder
from syne_hypersched.integrations._hf_loss import keep_loss
from syne_hypersched.integrations._hf_sampler import keep_order
from syne_hypersched.integrations._hf_stream import Place, go_on, is_endless
from syne_hypersched.integrations._hf_train import move_logs, move_to_end, train_once
from syne_hypersched.integrations._ranks import Ranks
from syne_hypersched.integrations._saved import Saved
from syne_hypersched.integrations._sigterm import Sigterm

__all__ = ["elastic_trainer", "ElasticCallback"]

logger = logging.getLogger(__name__)

_EVALUATE = "evaluate"
"""Name in the notes of a checkpoint: the run was left just before an evaluation."""
_STOPS = "stops"
"""Name in the notes of a checkpoint: a callback, such as ``EarlyStoppingCallback``, has stopped the run."""


class ElasticCallback(TrainerCallback):
    """Reports, marks checkpoints as whole, and exits on SIGTERM, for users who call ``train()`` themselves.

    .. code-block:: python

        elastic = ElasticCallback(output_dir, metrics=("eval_loss",), global_batch_size=32, max_local_batch_size=8)
        args = TrainingArguments(
            output_dir,
            eval_strategy="epoch",
            per_device_train_batch_size=elastic.local_batch_size,
            gradient_accumulation_steps=elastic.accumulation_steps,
        )
        trainer = Trainer(model, args, train_dataset=..., eval_dataset=..., callbacks=[elastic])
        trainer.train(resume_from_checkpoint=elastic.checkpoint)

    :func:`elastic_trainer` does all of this. With the bare callback, an evaluation that runs at SIGTERM is finished
    before the exit, so the grace period must be longer than an evaluation.

    Parameters
    ----------
    checkpoint_dir
        ``output_dir`` of the trainer.
    metrics
        Names of the metrics to report from each evaluation.
    resource
        ``"epoch"``: reports count epochs, as ``epoch``. ``"eval"``: they count evaluations, as ``eval``.
    global_batch_size
        Number of samples of an optimiser step, over all devices; None: not known here.
    max_local_batch_size
        Number of samples that fit into the memory of a device at once; None: any number.
    reporter
        Called with the metrics as keyword arguments; by default :class:`syne_tune.Reporter`.

    Raises
    ------
    TypeError, ValueError
        A parameter has a wrong type or value, or the global batch cannot be divided by the devices of this launch.
    """

    def __init__(
        self,
        checkpoint_dir: str | os.PathLike[str],
        metrics: tuple[str, ...] = ("eval_loss",),
        resource: arguments.Resource = "epoch",
        *,
        global_batch_size: int | None = None,
        max_local_batch_size: int | None = None,
        reporter: Callable[..., None] | None = None,
    ) -> None:
        self._names, self._resource = arguments.checked(metrics, resource)
        self._global_batch_size = global_batch_size
        self._share: Share | None = None
        if global_batch_size is not None:
            self._share = share_of(global_batch_size, num_processes(), max_local_batch_size)
        self._path = str(checks.path("checkpoint_dir", checkpoint_dir))
        self._saved = Saved(self._path, 2, reporter)
        #: Path of the checkpoint from which this launch continues, for ``resume_from_checkpoint``; None: there is none.
        self.checkpoint = None if self._saved.newest is None else trainer_folder(self._saved.newest)
        self._best = Best(self._path)
        self._place = Place(self._saved.notes)
        #: Whether the trainer can be told its place in data without a length.
        self._knows_place = False
        #: The folder that the trainer is writing to; None: it is not saving.
        self._aside: str | None = None
        self._ranks = Ranks()
        self._sigterm = Sigterm()
        #: The trainer, if it is known. Then a run can be left before and during an evaluation.
        self._trainer: Any = None
        self._is_leaving = False
        #: Whether a callback has stopped the run.
        self._stops = False
        #: Whether there is nothing left to train.
        self.is_finished = False
        #: The present evaluation: its step, and its results so far.
        self._evaluated: tuple[int, dict[str, Any]] = (-1, {})

    @property
    def local_batch_size(self) -> int:
        """For ``per_device_train_batch_size``."""
        return self._known_share().local_batch_size

    @property
    def accumulation_steps(self) -> int:
        """For ``gradient_accumulation_steps``."""
        return self._known_share().accumulation_steps

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Checks the arguments."""
        self._adopt(args)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Delivers the report of the last launch if that was not done, and handles SIGTERM from now on.

        Raises
        ------
        ValueError
            The run would start again although there is a checkpoint.
        """
        self._adopt(args)
        if self.checkpoint is not None and state.global_step == 0:
            raise ValueError(
                f"resume_from_checkpoint of train must be checkpoint of the callback, {self.checkpoint!r}, since the "
                "run goes on from there, but the run begins again"
            )
        if self._trainer is not None:
            move_to_end(self._trainer.callback_handler, self)
        self._check_length(state)
        state.save_steps = state.eval_steps
        self._sigterm.listen()
        if self._ranks.is_main:
            self._saved.begin()
        if self.checkpoint is None:
            return
        args.eval_on_start = False  # this is not a start, and EarlyStoppingCallback would count the evaluation
        self._best.find_again(state, self.checkpoint, self._ranks.is_main)
        self._ranks.wait()
        freeze_again(kwargs["model"], self._saved.notes)
        self._seed_again(args, state)
        self._stops = self._saved.notes.get(_STOPS, False)
        if self._trainer is not None and self._saved.notes.get(_EVALUATE):
            self._evaluate_now(control)
        self.is_finished = self._stops or state.global_step >= state.max_steps

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notes the step at which the epoch begins."""
        self._place.begin_epoch(state.global_step)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Starts an agreement with the other processes while the optimiser steps."""
        self._ranks.begin_agreement(self._sigterm.has_come)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """If any process must exit, saves now and does not evaluate."""
        must_leave = self._ranks.agree(self._sigterm.has_come)
        if self.is_finished:  # without elastic_trainer, the trainer takes one more step
            control.should_training_stop = True
            control.should_save = control.should_evaluate = False
            return
        # Without the trainer, the next launch could not make the evaluation that follows this checkpoint.
        self._stops = control.should_training_stop and state.global_step < state.max_steps
        if must_leave and (self._trainer is not None or not arguments.is_due(args, state)):
            self._is_leaving = control.should_training_stop = control.should_save = True
            control.should_evaluate = control.should_log = False
        self._prepare_save(args, control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ends an epoch. If the run exits, it has already been saved: it is neither evaluated nor saved again."""
        if self._is_leaving or self.is_finished:
            control.should_save = control.should_evaluate = control.should_log = False
        else:
            self._place.end_epoch()
        self._prepare_save(args, control)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, Any], **kwargs: Any) -> None:
        """Keeps the metrics until the checkpoint exists. There may be several data sets."""
        step, found = self._evaluated
        self._evaluated = (state.global_step, {**(found if step == state.global_step else {}), **metrics})
        if self._aside is None and control.should_save:
            self._begin_save(args)

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leaves an evaluation during training. The next launch repeats it."""
        trainer = self._trainer
        if trainer is None or not trainer.is_in_train or self._is_leaving or not state.global_step:
            return
        if not control.should_evaluate or not self._ranks.agree(self._sigterm.has_come):
            return
        self._is_leaving = True
        self._begin_save(args)
        trainer._save_checkpoint(trainer.model, None)
        trainer.callback_handler.on_save(args, state, control)
        trainer.callback_handler.on_train_end(args, state, control)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Marks the checkpoint as whole, and reports."""
        step, metrics = self._evaluated
        level = arguments.level(args, state, self._resource)
        report = None
        if not self._is_leaving:
            self._stops = control.should_training_stop and state.global_step < state.max_steps
        if metrics and step == state.global_step and level is not None and not self._is_leaving:
            chosen = arguments.chosen(self._names, metrics)
            report = {self._resource: level, **chosen, BATCH_SIZE: arguments.batch_size(args)}
        self._ranks.wait()
        aside, self._aside = self._aside, None
        args.output_dir = self._path
        if aside is not None:
            self._best.name(state)
            if self._ranks.is_main:
                self._best.keep(state, trainer_folder(aside))
                is_pending = arguments.is_due(args, state) and (self._is_leaving or step != state.global_step)
                notes = {_EVALUATE: is_pending, _STOPS: self._stops, **self._place.notes(state.global_step)}
                self._saved.commit(aside, report, **notes, **frozen_notes(kwargs["model"]))
                self._best.remove_others(state)
        self._ranks.wait()
        self._evaluated = (step, {})
        if self._is_leaving:
            state.best_model_checkpoint = None  # it must not be loaded now
        elif self._ranks.agree(self._sigterm.has_come):
            self._is_leaving = control.should_training_stop = True
            state.best_model_checkpoint = None

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ends the process if it was asked to exit.

        Raises
        ------
        SystemExit
            The run exits on SIGTERM.
        """
        self._sigterm.close()
        if not self._is_leaving:
            return
        if self._ranks.is_main:
            steps = counted(state.global_step, "step")
            logger.warning("Leaving on SIGTERM in epoch %.2f, after %s.", state.epoch, steps)
        self._ranks.wait()
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()
        raise SystemExit(EXIT_DRAINED)

    def _adopt(self, args: Any) -> None:
        here, there = (os.path.realpath(path) for path in (self._path, args.output_dir))
        if here != there:
            raise ValueError(f"checkpoint_dir must be output_dir of the trainer, {args.output_dir}, but got {here}")
        arguments.adopt(args, self._resource)
        if args.save_total_limit is not None:
            # The trainer knows only the checkpoint that it is writing.
            self._saved.folder.keep, args.save_total_limit = max(1, args.save_total_limit), None
        batch_size = arguments.batch_size(args)
        if self._global_batch_size not in (None, batch_size):
            raise ValueError(
                f"global_batch_size must be what the trainer computes in a step, {batch_size}, but got "
                f"{self._global_batch_size}; use local_batch_size and accumulation_steps of the callback"
            )

    def _known_share(self) -> Share:
        if self._share is None:
            raise ValueError("global_batch_size must be given for local_batch_size and accumulation_steps")
        return self._share

    def _prepare_save(self, args: Any, control: Any) -> None:
        """Prepares a save without an evaluation; otherwise the evaluation comes first."""
        if control.should_save and not control.should_evaluate:
            self._begin_save(args)

    def _begin_save(self, args: Any) -> None:
        """Makes the trainer write to a temporary folder, which is put in place when it is whole."""
        self._aside = self._ranks.broadcast(self._saved.folder.begin() if self._ranks.is_main else None)
        args.output_dir = self._aside

    def _check_length(self, state: Any) -> None:
        """Rejects data without a length if epochs are counted, since the trainer could not count them."""
        if not is_endless(state.num_train_epochs):
            return
        if self._resource == "epoch":
            raise ValueError(
                'resource must be "eval" for training data without a length, since the trainer does not know how much '
                'of an epoch is done, but got "epoch"; with it, use eval_strategy="steps"'
            )
        if not self._knows_place and self._place.first_step and state.global_step:
            raise ValueError(
                "the training data must have a length, or elastic_trainer must be used, to go on in the second epoch "
                "or a later one, since the trainer would skip all data and end"
            )

    def _seed_again(self, args: Any, state: Any) -> None:
        """Seeds the random generators again if their states for this number of devices are missing."""
        name = "rng_state.pth" if args.world_size <= 1 else f"rng_state_{args.process_index}.pth"
        if self.checkpoint is not None and not os.path.isfile(os.path.join(self.checkpoint, name)):
            set_seed(args.seed + state.global_step)

    def _evaluate_now(self, control: Any) -> None:
        """Makes the evaluation before which the last launch was left."""
        trainer = self._trainer
        control.should_evaluate = control.should_save = True
        trainer._maybe_log_save_evaluate(
            trainer._tr_loss, None, trainer.model, None, trainer.state.epoch, None, time.time()
        )


def elastic_trainer(
    trainer: Trainer,
    metrics: tuple[str, ...] = ("eval_loss",),
    resource: arguments.Resource = "epoch",
    global_batch_size: int | None = None,
    *,
    reporter: Callable[..., None] | None = None,
) -> Trainer:
    """Makes a trainer elastic: ``train()`` continues from the last checkpoint, reports, and exits on SIGTERM.

    .. code-block:: python

        trainer = elastic_trainer(Trainer(model, args, train_dataset=..., eval_dataset=...))
        trainer.train()

    *Checkpoints.* They are in ``output_dir``. The trainer saves whenever it evaluates, and a report is sent when its
    checkpoint is whole. The newest ``save_total_limit`` checkpoints are kept (default: two), and also the best one, in
    ``best-model-STEP``, for ``load_best_model_at_end``.

    *Exit.* On SIGTERM, all processes agree on a step, save, and exit with
    :const:`~syne_hypersched.contract.EXIT_DRAINED`. If a run exits just before an evaluation, or during one, the next
    launch begins with this evaluation.

    *Same batch.* The global batch is the same on any number of devices. The batch of a device and the accumulation
    steps follow from ``WORLD_SIZE``. A device never computes more samples at once than ``per_device_train_batch_size``.

    Parameters
    ----------
    trainer
        A trainer whose ``train()`` was not called.
    metrics
        Names of the metrics to report from each evaluation.
    resource
        ``"epoch"``: reports count epochs, as ``epoch``, and ``eval_strategy`` must be ``"epoch"``. ``"eval"``: they
        count evaluations, as ``eval``.
    global_batch_size
        Number of samples of an optimiser step, over all devices; default: as the trainer's arguments give on one
        device.
    reporter
        Called with the metrics as keyword arguments; by default :class:`syne_tune.Reporter`.

    Returns
    -------
    transformers.Trainer
        The same trainer.

    Raises
    ------
    TypeError, ValueError
        An argument, or one of the trainer's arguments, is not compatible with an elastic run.
    """
    if not isinstance(trainer, Trainer):
        raise TypeError(f"trainer must be a transformers.Trainer, but got {type(trainer).__name__}")
    args = trainer.args
    arguments.divide(args, global_batch_size)
    trainer._train_batch_size = args.train_batch_size
    callback = ElasticCallback(args.output_dir, metrics, resource, reporter=reporter)
    callback._trainer = trainer
    callback.on_init_end(args, trainer.state, trainer.control)
    keep_loss(trainer, callback._ranks)
    keep_order(trainer)
    callback._knows_place = go_on(trainer, callback._place)
    trainer.add_callback(callback)
    move_logs(trainer)
    train_once(trainer, callback)
    return trainer
