"""The life of a run: restored, trained round by round, checkpointed, reported, and left."""

from __future__ import annotations

import gc
import logging
import signal
from collections.abc import Callable, Iterator
from typing import Any

import torch

from syne_hypersched.contract import EXIT_DRAINED
from syne_hypersched.training._averages import Averages
from syne_hypersched.training._checkpoints import CheckpointFolder
from syne_hypersched.training._division import Part
from syne_hypersched.training._dropout import Place
from syne_hypersched.training._group import ProcessGroup
from syne_hypersched.training._interruptions import Interruptions, Wish
from syne_hypersched.training._keeper import Keeper
from syne_hypersched.training._loader import ElasticLoader
from syne_hypersched.training._random import derive_seed, seed_everything
from syne_hypersched.training._stepper import Stepper

logger = logging.getLogger(__name__)


class Lifecycle:
    """What of an :class:`ElasticRun` is not for its users: its loaders call it, and its public methods do.

    Parameters
    ----------
    folder
        Of the checkpoints; None: nothing is kept.
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
        self._interruptions = Interruptions(checkpoint_every_s)
        self.group = ProcessGroup()
        if virtual_devices is not None and (virtual_devices < 1 or virtual_devices % self.num_devices != 0):
            raise ValueError(
                f"virtual_devices must be a multiple of the {self.num_devices} devices of the launch, but got "
                f"{virtual_devices!r}"
            )
        self.virtual_devices = virtual_devices
        #: Steps that the run has taken, in all of its launches.
        self.num_steps = 0
        #: Rounds that are done, and whether the next one has begun. A round is an epoch or a number of steps.
        self._num_rounds = 0
        self.is_inside = False
        self._is_restored = False
        self._averages = Averages(self.group)
        self._keeper = Keeper(folder, self.group)
        self._keeper.objects |= {"run": self, "averages": self._averages}
        self._stepper = Stepper(self.group, self._keeper.objects, virtual_devices, lambda: self._wish())
        self._seed = seed
        self._reporter = reporter
        self._loaders: list[ElasticLoader] = []
        #: What this device computes at present, and where it got that from.
        self._part: Part | None = None
        self._loader: ElasticLoader | None = None
        #: The state at the end of this round's training, which is saved if the run is ended during validation.
        self._trained: dict[str, Any] | None = None
        seed_everything(seed)

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        return self.group.device

    @property
    def num_devices(self) -> int:
        """Devices, and processes, of this launch."""
        return self.group.num_ranks

    @property
    def is_main(self) -> bool:
        """Whether this is the process that reports."""
        return self.group.rank == 0

    @property
    def noise_scale(self) -> float | None:
        """Gradient noise scale in samples; None where it is not measured or not known yet."""
        return self._stepper.noise_scale

    def state_dict(self) -> dict[str, Any]:
        """How far the run is."""
        return {"num_rounds": self._num_rounds, "is_inside": self.is_inside, "num_steps": self.num_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what :meth:`state_dict` gave."""
        self._num_rounds, self.is_inside = state["num_rounds"], state["is_inside"]
        self.num_steps = state["num_steps"]

    # What loaders call.

    def enter(self, loader: ElasticLoader, part: Part) -> None:
        """Notes the part that this device is about to compute."""
        self._loader, self._part = loader, part
        if loader.is_for_training:
            self._stepper.enter(part)

    def leave_validation(self, loader: ElasticLoader, before: tuple[ElasticLoader | None, Part | None]) -> None:
        """A loop over a loader for validation is over: where it was inside a training step, that goes on."""
        if self._loader is loader and before[0] is not None and before[0].is_in_step:
            self._loader, self._part = before

    @property
    def present(self) -> tuple[ElasticLoader | None, Part | None]:
        """Where the script is."""
        return self._loader, self._part

    def count_step(self) -> None:
        """The optimisers have stepped, or a script without :meth:`ElasticRun.step` asks for what comes after a step."""
        self.num_steps += 1
        # Several loaders that are used side by side have all given to the step.
        for loader in self._loaders:
            loader.note_step()

    def abandon_step(self) -> None:
        """The script has left a step in the middle: its gradients are not to get into another one."""
        self._stepper.abandon()

    def between_steps(self, in_training: bool) -> None:
        """Checkpoints the run, and leaves, if any process has been asked to; all processes call it together."""
        if not in_training and any(loader.is_in_step for loader in self._loaders):
            return  # a validation inside a training step, which can only be left at its end
        wish = self.group.agree(self._wish())
        if wish == Wish.GO_ON:
            return
        if self._is_restored and in_training:
            self._save(self._keeper.gather())
        elif self._is_restored and self._trained is not None:
            self._save(self._trained)
        if wish == Wish.LEAVE:
            self._leave()

    def end_of_training(self) -> None:
        """The loop over a loader for training is over: this is where the run goes on if it is ended from here on."""
        self._trained = self._keeper.snapshot()
        self.between_steps(in_training=False)

    # The rest.

    def _close(self) -> None:
        for loader in self._loaders:
            loader.close()
        self._stepper.close()
        if self.num_devices > 1:
            gc.collect()
        self.group.close()
        self._interruptions.close()

    def _rounds(self, num_rounds: int, num_steps: int | None) -> Iterator[int]:
        if not self._is_restored:
            if self._reporter is None and self.is_main:
                from syne_tune import Reporter  # late, and once: it counts the seconds from here

                self._reporter = Reporter()
            if self._keeper.restore(self._deliver):
                self._stepper.go_on()
            self._is_restored = True
        while self._num_rounds < num_rounds:
            if not self.is_inside:
                seed_everything(derive_seed(self._seed, "round", self._num_rounds, self.group.rank))
                for loader in self._loaders:
                    loader.begin_round(self._num_rounds + 1, num_steps)
                self.is_inside = True
            yield self._num_rounds + 1
            if self.is_inside:
                self._end_round(None)

    def _end_round(self, report: dict[str, Any] | None) -> None:
        self._num_rounds += 1
        self.is_inside = False
        self._averages.clear()
        self._trained = None
        path = self._save(self._keeper.gather() if self._keeper.is_active else {}, report)
        if self.is_main and report is not None:
            self._deliver(path, report)
        if self.group.agree(self._wish()) == Wish.LEAVE:
            self._leave()

    def _save(self, state: dict[str, Any], report: dict[str, Any] | None = None) -> str | None:
        path = self._keeper.save(state, report)
        self._interruptions.note_checkpoint()
        return path

    def _deliver(self, path: str | None, report: dict[str, Any]) -> None:
        if self._reporter is not None:
            self._reporter(**report)
        if path is not None:
            self._keeper.mark_reported(path)

    def _wish(self) -> Wish:
        wish = self._interruptions.wish
        # One clock is enough, and there may be nowhere to save to.
        return Wish.GO_ON if wish == Wish.SAVE and not (self._keeper.is_active and self.is_main) else wish

    def _leave(self) -> None:
        if self.is_main:
            where = f"in epoch {self._num_rounds + 1}" if self.is_inside else f"after epoch {self._num_rounds}"
            logger.warning("Leaving on SIGTERM %s, after %d steps.", where, self.num_steps)
        raise SystemExit(EXIT_DRAINED if self._keeper.is_active else 128 + signal.SIGTERM)

    def _place(self) -> Place | None:
        if self._part is None or self._loader is None or not self._loader.is_for_training:
            return None
        return Place(derive_seed(self._seed, "step", self.num_steps), self._part.rows, self._part.batch_size)

    def _present_part(self) -> Part:
        if self._part is None:
            raise RuntimeError("step() and add() must be called inside a loop over a loader of this run, but none runs")
        return self._part

    def _present_loader(self) -> ElasticLoader:
        if self._loader is None or not self._loader.is_for_training:
            raise RuntimeError(
                "step() must be called inside a loop over a loader of this run that trains, but none runs"
            )
        return self._loader
