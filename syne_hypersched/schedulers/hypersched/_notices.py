"""What HyperSched says to the user once: that no trial will be resized, and that time is left over."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)

_WORTH_SAYING = 0.1
"""Share of the deadline that must be left over before that is worth a word."""


class Notices:
    """Keeps what was said already."""

    def __init__(self) -> None:
        self._has_begun = self._nothing_starts = self._said_unused = False

    def begin(self, never_resizes_because: str | None) -> None:
        """The tuning begins, perhaps without any hope to resize a trial."""
        if not self._has_begun and never_resizes_because is not None:
            logger.warning("no trial will be resized unless configurations run out: %s", never_resizes_because)
        self._has_begun = True

    def reopen(self) -> None:
        """The deadline is another one, and trials start again."""
        self._nothing_starts = self._said_unused = False

    def nothing_more_starts(self) -> None:
        """The tuner was told that there is nothing to start or to resume; it does not ask again."""
        self._nothing_starts = True

    def nothing_runs(self, now_s: float, deadline_s: float, strategy: str, why_closed: str | None) -> None:
        """No trial runs, at this time."""
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
