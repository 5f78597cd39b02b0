"""A loop over a loader that goes on in the middle of an epoch, on another number of devices."""

from __future__ import annotations

import inspect
from collections.abc import Generator, Iterator
from typing import Any

from syne_hypersched.training._division import Part
from syne_hypersched.training._feed import Feed
from syne_hypersched.training._lifecycle import Lifecycle
from syne_hypersched.training._step_clock import StepClock


class Loop:
    """The place of a run in the data of one loader, and the loop that moves it on.

    Parameters
    ----------
    lifecycle
        The run's lifecycle, which is called before and after each step.
    feed
        Fetches the samples.
    is_for_training
        Whether the model is trained with them; otherwise each loop begins at the first sample.
    """

    def __init__(self, lifecycle: Lifecycle, feed: Feed, is_for_training: bool) -> None:
        self.feed = feed
        self.batching = feed.batching
        self.is_for_training = is_for_training
        #: Whether the body of the loop runs.
        self.is_in_step = False
        self._lifecycle = lifecycle
        #: The epoch, from 1; the samples of it whose steps are done; the batches that are left of it.
        self._epoch = 1
        self._num_done = 0
        self._batches: Generator[Any, None, None] | None = None
        #: Identifies the newest iterator.
        self._iterator: object = None
        #: The part that was handed out last, and the same part while its step is not done.
        self._part: Part | None = None
        self._open: Part | None = None
        self._clock = StepClock(lifecycle.group.device)
        #: Samples until the round ends; None: it ends with the epoch. 0: the epoch has ended.
        self._round_left: int | None = 0

    def __iter__(self) -> Iterator[Any]:
        return self._train() if self.is_for_training else self._validate()

    def begin_round(self, epoch: int, num_steps: int | None) -> None:
        """A round begins: an epoch from its start, or the samples of ``num_steps`` of the user's batches from here."""
        if self._open is not None:
            self._abandon()
        if num_steps is None:
            self._epoch, self._num_done, self._batches, self._round_left = epoch, 0, None, None
            self._iterator = None
        else:
            self._round_left = num_steps * self.batching.batch_size

    def has_open(self, part: Part) -> bool:
        """Whether the step that ends with this part is in progress."""
        return self._open is part

    def end_step(self) -> None:
        """Counts the step that ends with the last part as done, whether or not the script asks for another batch."""
        part = self._open
        if part is None or not part.is_last:
            return
        self._open = None
        self._num_done += part.batch_size
        if self._round_left is not None:
            self._round_left -= part.batch_size
        self._clock.mark_step()

    @property
    def is_between_steps(self) -> bool:
        """Whether no samples were handed out whose step is not done."""
        return self._open is None

    def resize(self, num_devices: int) -> None:
        """The number of devices has changed between two steps: the rest of the epoch is divided anew."""
        if self._batches is not None:
            self._batches.close()
            self._batches = None
        self._record(wait=True)
        self.batching.resize(num_devices)
        self.feed.forget_division()

    def finish_measuring(self) -> None:
        """Waits until the steps so far are computed, and records how long they took."""
        self._clock.leave(self._is_typical())
        self._record(wait=True)

    def close(self) -> None:
        """Ends the worker processes; a later loop starts new ones."""
        if self._batches is not None:
            self._batches.close()
            self._batches = None
        self.feed.close()

    def state_dict(self) -> dict[str, Any]:
        """The place in the data."""
        return {
            "epoch": self._epoch,
            "num_done": self._num_done,
            "round_left": self._round_left,
            "batching": self.batching.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a place that :meth:`state_dict` returned, perhaps on another number of devices."""
        self._epoch, self._num_done, self._round_left = state["epoch"], state["num_done"], state["round_left"]
        self.batching.load_state_dict(state["batching"])
        self._batches = None

    def _validate(self) -> Iterator[Any]:
        before = self._lifecycle.present
        try:
            for part, batch in self._pass(1, 0):
                self._lifecycle.enter(self, part)
                yield batch
                self._lifecycle.between_steps(in_training=False)
        finally:
            self._lifecycle.leave_validation(self, before)

    def _train(self) -> Iterator[Any]:
        if not self._lifecycle.is_inside:
            raise RuntimeError("a loader for training must be used inside a loop over run.epochs(), but none runs")
        if self._open is not None:
            self._abandon()
        if self._num_done >= len(
            self.feed.dataset
        ):  # the script has left the last loop after the last step of an epoch
            self._end_pass()
        iterator = self._iterator = object()
        try:
            while self._round_left is None or self._round_left > 0:
                if self._batches is None:
                    self._batches = self._pass(self._epoch, self._num_done)
                is_over = False
                batches = self._batches
                for part, batch in batches:
                    self._part = self._open = part
                    self._lifecycle.enter(self, part)
                    self.is_in_step = True
                    yield batch
                    if self._iterator is not iterator:
                        raise RuntimeError(
                            "a loader for training must be in one loop at a time, and in a new one in each epoch, but "
                            "an older iterator of it was asked for another batch"
                        )
                    self.is_in_step = False
                    if not part.is_last:
                        continue
                    was_step = self._open is not part or self._lifecycle.pass_over()
                    self._clock.end(was_step and self._is_typical())
                    self._record(wait=False)
                    if self._round_left is not None and self._round_left <= 0:
                        break
                    if self._num_done < len(self.feed.dataset):
                        self._lifecycle.between_steps(in_training=True)
                    if self._batches is not batches:  # the processes have changed: the rest is divided anew
                        break
                    # The first step of a launch, and of an epoch, takes longer than those that follow it.
                    self._clock.begin()
                else:
                    is_over = True
                if is_over or self._num_done >= len(self.feed.dataset):
                    self._end_pass()
        finally:
            if self._iterator is iterator:
                self._leave()
        self._lifecycle.end_of_training()

    def _end_pass(self) -> None:
        self._epoch, self._num_done, self._batches = self._epoch + 1, 0, None
        if self._round_left is None:
            self._round_left = 0

    def _leave(self) -> None:
        """The loop is over, or the script has left it, perhaps in the middle of a step."""
        self.is_in_step = False
        self._clock.leave(self._is_typical())
        if self._open is not None:
            self._abandon()
        elif (
            self._batches is not None and inspect.getgeneratorstate(self._batches) == inspect.GEN_CLOSED
        ):  # a sample could not be fetched
            self._batches = None

    def _abandon(self) -> None:
        """Samples that were handed out and whose step is not done are handed out again."""
        self._open, self._batches, self._iterator, self.is_in_step = None, None, None, False
        self._lifecycle.abandon_step()

    def _is_typical(self) -> bool:
        """Whether the last step took as long as most do."""
        part = self._part
        return part is not None and part.is_even and part.batch_size == self.batching.plan.batch_size

    def _record(self, wait: bool) -> None:
        for time_s in self._clock.take(wait):
            self.batching.record(time_s)

    def _pass(self, epoch: int, num_done: int) -> Generator[tuple[Part, Any], None, None]:
        """The rest of an epoch, planned when its first batch is asked for."""
        self._record(wait=True)  # these steps belong to the plan before
        plan = self._lifecycle.group.broadcast(self.batching.next_plan(self._lifecycle.noise_scale))
        self.batching.adopt(plan)
        yield from self.feed.batches(epoch, num_done, plan)
