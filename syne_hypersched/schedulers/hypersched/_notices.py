"""What HyperSched says to the user once: that no trial will be resized, and that time is left over."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)

_WORTH_SAYING = 0.1
"""Share of the deadline that must be left over before that is worth a word."""


class Notices:
    """Gives each notice once."""

    def __init__(self) -> None:
        self._has_begun = self._nothing_starts = self._said_unused = False

    def begin(self, never_resizes_because: str | None) -> None:
        """Records the start of the tuning; warns if it is certain that no trial will be resized."""
        if not self._has_begun and never_resizes_because is not None:
            logger.warning("no trial will be resized unless configurations run out: %s", never_resizes_because)
        self._has_begun = True

    def reopen(self) -> None:
        """Records that the deadline has changed and trials start again."""
        self._nothing_starts = self._said_unused = False

    def nothing_more_starts(self) -> None:
        """Records that the tuner was told that nothing is left to start or resume; it does not ask again."""
        self._nothing_starts = True

    def nothing_runs(self, now_s: float, deadline_s: float, strategy: str, why_closed: str | None) -> None:
        """Warns if no trial runs, nothing more starts, and much of the time is left."""
        left_s = deadline_s - now_s
        if self._said_unused or not self._nothing_starts or left_s < _WORTH_SAYING * deadline_s:
            return
        self._said_unused = True
        advice = "a greater max_t, more configurations, or an earlier deadline"
        if strategy == "published":
            advice += ', or strategy="adaptive"'
        logger.warning(
            "%.4g s of %.4g s stay unused: no trial runs any more, and none is started or resumed because %s. "
            "To use the time: %s",
            left_s, deadline_s, why_closed or "there is nothing to start", advice,
        )  # fmt: skip
