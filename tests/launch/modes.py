"""Ways to start a script: forked by a server, or with an interpreter of its own."""

from __future__ import annotations

import pytest

WARM_AND_COLD = pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
