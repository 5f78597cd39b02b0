"""Finds out which checkpoint belongs to which report, and manages the checkpoints on the disk.

The process that watches a trial's launch (:class:`GenerationKeeper`) keeps copies of the checkpoint folder. Each copy
shows the folder at a moment when it was whole, and is called a *generation*. Each generation is matched to a report.
Only generations are published, copied to another trial, or put back after a script was killed during a save.
"""

from syne_hypersched.checkpoints._change import Change as Change
from syne_hypersched.checkpoints._changes import ChangeWatch as ChangeWatch
from syne_hypersched.checkpoints._generation import Generation as Generation
from syne_hypersched.checkpoints._generation import Matched as Matched
from syne_hypersched.checkpoints._generation import Notes as Notes
from syne_hypersched.checkpoints._keeper import GenerationKeeper as GenerationKeeper
from syne_hypersched.checkpoints._numbers import pattern_of as pattern_of
from syne_hypersched.checkpoints._published import fingerprint as fingerprint
from syne_hypersched.checkpoints._published import measure_checkpoint as measure_checkpoint
from syne_hypersched.checkpoints._spec import Beginning as Beginning
from syne_hypersched.checkpoints._spec import CheckpointSpec as CheckpointSpec
from syne_hypersched.checkpoints._spec import Ending as Ending
from syne_hypersched.checkpoints._states import Order as Order
from syne_hypersched.checkpoints._store import GenerationStore as GenerationStore

__all__ = [
    "Beginning",
    "Change",
    "ChangeWatch",
    "CheckpointSpec",
    "Ending",
    "Generation",
    "GenerationKeeper",
    "GenerationStore",
    "Matched",
    "Notes",
    "Order",
    "fingerprint",
    "measure_checkpoint",
    "pattern_of",
]
