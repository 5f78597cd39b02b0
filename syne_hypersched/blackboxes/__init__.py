"""Blackboxes: tables of learning curves, which the simulator replays."""

from __future__ import annotations

from syne_hypersched.blackboxes._curve import LearningCurve as LearningCurve
from syne_hypersched.blackboxes._curve import learning_curve as learning_curve
from syne_hypersched.blackboxes._digits import digits_provenance as digits_provenance
from syne_hypersched.blackboxes._digits import load_digits as load_digits
from syne_hypersched.blackboxes._ids import id_columns as id_columns
from syne_hypersched.blackboxes._level_by_level import with_levels as with_levels
from syne_hypersched.blackboxes._nasbench201 import synthetic_nasbench201 as synthetic_nasbench201
from syne_hypersched.blackboxes._noise import with_noise as with_noise
from syne_hypersched.blackboxes._read import read_table as read_table
from syne_hypersched.blackboxes._repository import load_from_repository as load_from_repository
from syne_hypersched.blackboxes._space import infer_domain as infer_domain
from syne_hypersched.blackboxes._table import TableBlackbox as TableBlackbox

__all__ = [
    "LearningCurve",
    "TableBlackbox",
    "digits_provenance",
    "id_columns",
    "infer_domain",
    "learning_curve",
    "load_digits",
    "load_from_repository",
    "read_table",
    "synthetic_nasbench201",
    "with_levels",
    "with_noise",
]
