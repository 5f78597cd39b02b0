"""Checks a training script before it is tuned: launches it, ends it at bad moments, and reports problems.

The package is named ``check`` after its command; :mod:`syne_hypersched.checks` checks arguments.
"""

from syne_hypersched.check._check import CheckResult as CheckResult
from syne_hypersched.check._check import check_and_print as check_and_print
from syne_hypersched.check._check import check_script as check_script
from syne_hypersched.check._rows import CheckRow as CheckRow

__all__ = ["CheckResult", "CheckRow", "check_and_print", "check_script"]
