"""The lifecycle of a run: it is restored, trained round by round, checkpointed, reported and left."""

from __future__ import annotations

import functools
import gc
import logging
import signal
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from torch import Tensor, nn

from syne_hypersched.checkpoint_folder import CheckpointFolder
from syne_hypersched.checks import integer
from syne_hypersched.contract import EXIT_DRAINED
from syne_hypersched.training._averages import Averages
from syne_hypersched.training._batching import Batching
from syne_hypersched.training._division import Part
from syne_hypersched.training._dropout import Place, bind_dropout
from syne_hypersched.training._group import ProcessGroup
from syne_hypersched.training._interruptions import Demand, Interruptions
from syne_hypersched.training._keeper import Keeper
from syne_hypersched.training._metrics import checked_metrics
from syne_hypersched.training._random import derive_seed, seed_everything
from syne_hypersched.training._resizable_model import ResizableModel
from syne_hypersched.training._resizer import Resizer, leave_if_changed
from syne_hypersched.training._stepper import Stepper
from syne_hypersched.training._steps import StepCount

logger = logging.getLogger(__name__)


class Iterated(Protocol):
    """What a lifecycle needs to know of the loop over a loader."""

    is_for_training: bool
    is_in_step: bool
    """Whether the body of the loop runs."""

    @property
    def batching(self) -> Batching:
        """How large the batches are."""
        ...

    def begin_round(self, epoch: int, num_steps: int | None) -> None:
        """A round begins: an epoch, or ``num_steps`` steps."""

    def has_open(self, part: Part) -> bool:
        """Whether the step that ends with this part is in progress."""
        ...

    def end_step(self) -> None:
        """The optimisers have stepped."""

    def finish_measuring(self) -> None:
        """Waits until the steps so far are computed, and records how long they took."""

    @property
    def is_between_steps(self) -> bool:
        """Whether no samples were handed out whose step is not done."""
        ...

    def resize(self, num_devices: int) -> None:
        """The number of devices has changed."""

    def close(self) -> None:
        """Ends the worker processes."""


class Lifecycle:
    """The progress of a run, and the actions between its steps and rounds.

    Loops over loaders call it, and the methods of :class:`ElasticRun` do.

    Parameters
    ----------
    folder
        The folder of the checkpoints; None: nothing is kept.
    seed, checkpoint_every_s, virtual_devices, reporter
        See :class:`ElasticRun`.
    """

    def __init__(
        self,
        folder: CheckpointFolder | None,
        seed: int,
        checkpoint_every_s: float | None,
        virtual_devices: int | None,
        reporter: Callable[..., None] | None,
    ) -> None:
        leave_if_changed()
        if reporter is not None and not callable(reporter):
            raise TypeError(f"reporter must be a function of the metrics, or None, but got {reporter!r}")
        self._interruptions = Interruptions(checkpoint_every_s)
        self.group = ProcessGroup()
        self.resizer = Resizer(self.group)
        self.resizer.refuses, self.resizer.why_fixed = self._why_impossible, self._why_fixed
        num_devices = self.group.size
        if virtual_devices is not None and integer("virtual_devices", virtual_devices) not in range(
            num_devices, virtual_devices + 1, num_devices
        ):
            raise ValueError(
                f"virtual_devices must be a multiple of the {num_devices} devices of the launch, but got "
                f"{virtual_devices!r}"
            )
        self.virtual_devices = virtual_devices
        self.steps = StepCount()
        #: Rounds that are done, and whether the next one has begun. A round is an epoch or a number of steps.
        self._num_rounds = 0
        self.is_inside = False
        self._is_restored = False
        self.averages = Averages(self.group)
        self.keeper = Keeper(folder, self.group)
        self.keeper.objects |= {"run": self, "averages": self.averages}
        self.stepper = Stepper(self.group, self.keeper.objects, virtual_devices, self.demand)
        self._warm_up: list[Callable[[], object]] = []
        self.seed = seed
        self._reporter = reporter
        self.loops: list[Iterated] = []
        #: What this device computes at present, and where it got that from.
        self._part: Part | None = None
        self._loop: Iterated | None = None
        #: The state at the end of this round's training, which is saved if the run is ended during validation.
        self._trained: dict[str, Any] | None = None
        seed_everything(seed)

    @property
    def noise_scale(self) -> float | None:
        """Gradient noise scale in samples; None where it is not measured or not known yet."""
        return self.stepper.noise_scale

    def state_dict(self) -> dict[str, Any]:
        """How far the run is."""
        return {"num_rounds": self._num_rounds, "is_inside": self.is_inside, **self.steps.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from the result of :meth:`state_dict`."""
        self._num_rounds, self.is_inside = state["num_rounds"], state["is_inside"]
        self.steps.load_state_dict(state)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that reports."""
        return self.group.rank == 0

    # Called by loops.

    def enter(self, loop: Iterated, part: Part) -> None:
        """Records the part that this device computes next."""
        self._loop, self._part = loop, part
        if loop.is_for_training:
            self.stepper.enter(part)

    def leave_validation(self, loop: Iterated, before: tuple[Iterated | None, Part | None]) -> None:
        """A loop for validation is over; a training step that it was part of goes on."""
        if self._loop is loop and before[0] is not None and before[0].is_in_step:
            self._loop, self._part = before

    @property
    def present(self) -> tuple[Iterated | None, Part | None]:
        """Where the script is."""
        return self._loop, self._part

    def pass_over(self) -> bool:
        """The script asks for another batch and has not used :meth:`ElasticRun.step` on this one; if it was a step."""
        self.stepper.abandon()
        self._end_step()
        return self.steps.pass_over()

    def _end_step(self) -> None:
        # Where several loaders are used side by side, the step has used a batch of each of them.
        for loop in self.loops:
            loop.end_step()

    def abandon_step(self) -> None:
        """Drops the gradients of a step that the script has left in the middle."""
        self.stepper.abandon()

    def between_steps(self, in_training: bool) -> None:
        """Checkpoints the run, and leaves, if any process demands it; all processes call it together."""
        if not in_training and any(loop.is_in_step for loop in self.loops):
            return  # a validation inside a training step, which can only be left at its end
        demand = self.group.agree(self.demand())
        if demand == Demand.RESIZE:
            self.resizer.is_due = True
        is_due = self.resizer.is_due and in_training and demand != Demand.LEAVE
        if is_due and all(loop.is_between_steps for loop in self.loops):
            self._resize()
        if demand in (Demand.GO_ON, Demand.RESIZE):
            return
        if self._is_restored and in_training:
            self._save(self.keeper.gather())
        elif self._is_restored and self._trained is not None:
            self._save(self._trained)
        if demand == Demand.LEAVE:
            self._leave()

    def _resize(self) -> None:
        """Lets processes in, or has some leave; see :mod:`syne_hypersched.training._resizer`."""
        states = self.keeper.states()
        # The averages of all devices stay with the first one: others may leave, and new ones begin with nothing.
        self.averages.load_state_dict(states["averages"])
        if not self.resizer.carry_out(states, self.stepper.disconnect, self._connect):
            logger.warning("Leaving after %d steps: the trial continues on fewer devices.", self.steps.num)
            raise SystemExit(0)

    def _connect(self) -> None:
        self.stepper.connect()
        for loop in self.loops:
            loop.resize(self.group.num_ranks)

    def _join(self) -> None:
        """Takes over the state of the processes that train already."""
        for warm_up in self._warm_up:
            warm_up()
        for optimizer in self.stepper.optimizers():
            optimizer.zero_grad(set_to_none=True)
        load = functools.partial(self.keeper.load_states, source="the run")
        if not self.resizer.join(load, self._connect, lambda: self.demand() == Demand.LEAVE):
            self._leave()
        seed_everything(derive_seed(self.seed, "round", self._num_rounds, self.group.rank))
        self.stepper.go_on()

    def _why_impossible(self, num_devices: int) -> str:
        virtual = self.virtual_devices
        return "" if virtual is None or virtual % num_devices == 0 else f"{virtual} virtual devices do not divide"

    def _why_fixed(self) -> str:
        """Why no process can join or leave between two steps of this run; empty if they can."""
        return (
            "" if self.keeper.sharded is None else "its model is sharded, and shards cannot be divided anew in memory"
        )

    def end_of_training(self) -> None:
        """Keeps the state at the end of a training loop: a run that is ended during validation goes on from it."""
        self._trained = self.keeper.snapshot()
        self.between_steps(in_training=False)

    # Called by the run.

    def listen(self) -> None:
        """Has the run left at the next step after SIGTERM."""
        self._interruptions.listen()

    def close(self) -> None:
        """Ends worker processes and the process group, and restores the handler of SIGTERM."""
        for loop in self.loops:
            loop.close()
        self.resizer.close()
        self.stepper.close()
        if self.group.num_ranks > 1:
            gc.collect()
        self.group.close()
        self._interruptions.close()

    def rounds(self, num_rounds: int, num_steps: int | None) -> Iterator[int]:
        """Restores the run, and yields the numbers of the rounds that are left."""
        if not self._is_restored:
            if self._reporter is None and self.is_main:
                from syne_tune import Reporter  # late, and once: it counts the seconds from here

                self._reporter = Reporter()
            if self.group.is_joining:
                self._join()
            elif self.keeper.restore(self._deliver):
                self.stepper.go_on()
            self._is_restored = True
            self.resizer.announce()
        while self._num_rounds < num_rounds:
            if self.resizer.is_due:
                self._resize()
            if not self.is_inside:
                seed_everything(derive_seed(self.seed, "round", self._num_rounds, self.group.rank))
                for loop in self.loops:
                    loop.begin_round(self._num_rounds + 1, num_steps)
                self.is_inside = True
            yield self._num_rounds + 1
            if self.is_inside:
                self._end_round(None)

    def demand(self) -> Demand:
        """What this process asks for now."""
        demand = self._interruptions.demand
        if demand < Demand.RESIZE and self.resizer.asks():
            return Demand.RESIZE
        # One clock is enough, and there may be nowhere to save to.
        return Demand.GO_ON if demand == Demand.SAVE and not (self.keeper.is_active and self.is_main) else demand

    def warm_up(self, function: Callable[[], object]) -> None:
        """See :meth:`ElasticRun.warm_up`."""
        self._warm_up.append(function)

    def add_model(
        self, model: nn.Module, shard_units: tuple[type[nn.Module], ...] | None, find_unused_parameters: bool
    ) -> nn.Module:
        """See :meth:`ElasticRun.wrap`."""
        model = model.to(self.group.device)
        bind_dropout(model, self.place)
        wrapped = model
        if shard_units is not None:
            from syne_hypersched.training._sharded import shard  # its imports take long, and most runs do without

            if self.virtual_devices is not None:
                raise ValueError("shard_units must be None where there are virtual devices, but got some")
            if self.keeper.sharded is not None:
                raise ValueError("shard_units can be given for one model of a run, but got it for a second one")
            wrapped = self.keeper.sharded = shard(model, self.group, shard_units)
        else:
            self.keeper.track({f"model_{len(self.stepper.models)}": model})
            is_trained = any(parameter.requires_grad for parameter in model.parameters())
            may_have_replicas = self.resizer.is_active or self.group.num_ranks > 1
            if self.virtual_devices is None and is_trained and may_have_replicas:
                wrapped = resizable = ResizableModel(model, find_unused_parameters)
                if self.group.num_ranks > 1:
                    resizable.connect(in_step=False)
        self.stepper.add_model(wrapped)
        return wrapped

    def step(self, loss: Tensor, max_norm: float | None) -> bool:
        """See :meth:`ElasticRun.step`."""
        part, loop = self.present_part(), self._present_loop()
        self.steps.begin()
        has_stepped = self.stepper.step(loss, part, loop.batching, max_norm)
        if has_stepped and loop.has_open(part):
            self.steps.take()
            self._end_step()
        return has_stepped

    def report(self, metrics: dict[str, Any]) -> dict[str, Any]:
        """See :meth:`ElasticRun.report`."""
        if not self.is_inside:
            raise RuntimeError("report() must be called once in each epoch, but it has ended or not begun")
        found = {"epoch": self._num_rounds + 1, **self.averages.means()}
        loop = next((loop for loop in self.loops if loop.is_for_training), None)
        if loop is not None:
            loop.finish_measuring()
            found |= loop.batching.measurements(self.noise_scale)
        agreed: dict[str, Any]
        agreed, error = self.group.broadcast(checked_metrics(found | metrics) if self.is_main else None)
        if error is not None:
            raise error
        self._end_round(agreed)
        return agreed

    def place(self) -> Place | None:
        """The place of the present forward pass in the training; None outside of it."""
        if self._part is None or self._loop is None or not self._loop.is_for_training:
            return None
        return Place(derive_seed(self.seed, "step", self.steps.num), self._part.rows, self._part.batch_size)

    def present_part(self) -> Part:
        """The part that this device computes.

        Raises
        ------
        RuntimeError
            No loop over a loader runs.
        """
        if self._part is None:
            raise RuntimeError("step() and add() must be called inside a loop over a loader of this run, but none runs")
        return self._part

    def _present_loop(self) -> Iterated:
        if self._loop is None or not self._loop.is_for_training:
            raise RuntimeError(
                "step() must be called inside a loop over a loader of this run that trains, but none runs"
            )
        return self._loop

    def _end_round(self, report: dict[str, Any] | None) -> None:
        self._num_rounds += 1
        self.is_inside = False
        self.averages.clear()
        self._trained = None
        path = self._save(self.keeper.gather() if self.keeper.is_active else {}, report)
        if self.is_main and report is not None:
            self._deliver(path, report)
        demand = self.group.agree(self.demand())
        if demand == Demand.RESIZE:
            self.resizer.is_due = True
        elif demand == Demand.LEAVE:
            self._leave()

    def _save(self, state: dict[str, Any], report: dict[str, Any] | None = None) -> str | None:
        path = self.keeper.save(state, report)
        self._interruptions.restart_interval()
        return path

    def _deliver(self, path: str | None, report: dict[str, Any]) -> None:
        if self._reporter is not None:
            self._reporter(**report)
        if path is not None:
            self.keeper.mark_reported(path)

    def _leave(self) -> None:
        if self.is_main:
            where = f"in epoch {self._num_rounds + 1}" if self.is_inside else f"after epoch {self._num_rounds}"
            logger.warning("Leaving on SIGTERM %s, after %d steps.", where, self.steps.num)
        raise SystemExit(EXIT_DRAINED if self.keeper.is_active else 128 + signal.SIGTERM)
