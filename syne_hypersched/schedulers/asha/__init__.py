"""ASHA, asynchronous successive halving: one variant in each private module."""

from __future__ import annotations

from syne_hypersched.schedulers.asha._asha import ASHA as ASHA
from syne_hypersched.schedulers.asha._promotion import PromotionBracket as PromotionBracket
from syne_hypersched.schedulers.asha._stopping import StoppingBracket as StoppingBracket
from syne_hypersched.schedulers.asha._verdicts import CONTINUE as CONTINUE
from syne_hypersched.schedulers.asha._verdicts import PAUSE as PAUSE
from syne_hypersched.schedulers.asha._verdicts import STOP as STOP
from syne_hypersched.schedulers.asha._verdicts import Verdict as Verdict

__all__ = ["ASHA", "CONTINUE", "PAUSE", "STOP", "PromotionBracket", "StoppingBracket", "Verdict"]
