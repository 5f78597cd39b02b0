"""Which batches are steps: those that ``run.step`` has processed, or all where the script steps by itself."""

from __future__ import annotations

from typing import Any


class StepCount:
    """Counts the steps of a run, in all of its launches."""

    def __init__(self) -> None:
        self.num = 0
        #: Whether the script uses ``run.step``, and the batches that were taken for steps before it did.
        self._is_told = False
        self._num_assumed = 0

    def begin(self) -> None:
        """The script uses ``run.step``: batches that it has passed over before were no steps."""
        self._is_told = True
        self.num -= self._num_assumed
        self._num_assumed = 0

    def take(self) -> None:
        """``run.step`` has taken a step."""
        self.num += 1

    def pass_over(self) -> bool:
        """The script has not used ``run.step`` on a batch: it skips it, or steps by itself. Whether it is a step."""
        if self._is_told:
            return False
        self.num += 1
        self._num_assumed += 1
        return True

    def state_dict(self) -> dict[str, Any]:
        """The number of steps, and its source."""
        return {"num_steps": self.num, "is_told": self._is_told, "num_assumed": self._num_assumed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from the result of :meth:`state_dict`; a state of an older version is only a number."""
        self.num = state["num_steps"]
        self._is_told, self._num_assumed = state.get("is_told", False), state.get("num_assumed", 0)
