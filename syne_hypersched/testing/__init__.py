"""Contract suites: base classes of tests that every scheduler and every elastic backend must pass, ours and yours.

They need pytest. Subclass a suite in your test module to run it.
"""

from __future__ import annotations

from syne_hypersched._extras import needs_extra

with needs_extra(__name__, "test"):
    import pytest

# Registered before the suites are imported, so that failing assertions in them show values.
pytest.register_assert_rewrite("syne_hypersched.testing.scheduler_contract", "syne_hypersched.testing.backend_contract")

from syne_hypersched.testing.backend_contract import BackendContract as BackendContract  # noqa: E402
from syne_hypersched.testing.scheduler_contract import SchedulerContract as SchedulerContract  # noqa: E402

__all__ = ["BackendContract", "SchedulerContract"]
