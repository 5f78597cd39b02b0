"""What several tests of checkpoints use."""

from __future__ import annotations

import pytest

from tests.checkpoints.obedient import Child


@pytest.fixture
def child():
    child = Child()
    yield child
    child.close()
