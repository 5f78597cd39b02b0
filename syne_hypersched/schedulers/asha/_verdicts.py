"""What is decided on a report in asynchronous successive halving."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Verdict: TypeAlias = Literal["CONTINUE", "PAUSE", "STOP"]
"""What happens to a trial after a report, in the words of Syne Tune's ``SchedulerDecision``."""

CONTINUE: Final = "CONTINUE"
PAUSE: Final = "PAUSE"
STOP: Final = "STOP"
