from __future__ import annotations

import os
import signal
import threading
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")

from syne_hypersched.training import _interruptions
from syne_hypersched.training._interruptions import Demand, Interruptions


def test_a_checkpoint_is_due_so_long_after_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(_interruptions, "time", SimpleNamespace(monotonic=lambda: now_s))
    interruptions = Interruptions(checkpoint_every_s=5.0)
    now_s = 104.9
    assert interruptions.demand == Demand.GO_ON
    now_s = 105.0
    assert interruptions.demand == Demand.SAVE
    interruptions.restart_interval()
    assert interruptions.demand == Demand.GO_ON
    now_s = 110.0
    assert interruptions.demand == Demand.SAVE


@pytest.mark.parametrize("checkpoint_every_s", [None, 1e9])
def test_none_is_due(checkpoint_every_s: float | None) -> None:
    assert Interruptions(checkpoint_every_s).demand == Demand.GO_ON


def test_sigterm_is_a_demand_to_leave_until_it_is_closed() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda signum, frame: heard.append(signum))
    try:
        interruptions = Interruptions(checkpoint_every_s=1e-9)
        interruptions.listen()
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruptions.demand == Demand.LEAVE == max(Demand)
        interruptions.close()
        assert not heard
        os.kill(os.getpid(), signal.SIGTERM)
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_another_thread_leaves_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    interruptions = Interruptions(None)
    thread = threading.Thread(target=interruptions.listen)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
    interruptions.close()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("checkpoint_every_s", "error"),
    [(0, ValueError), (-1.0, ValueError), (float("nan"), ValueError), ("60", TypeError), (True, TypeError)],
)
def test_an_interval_is_above_0(checkpoint_every_s: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="checkpoint_every_s must be a positive number of seconds, but got"):
        Interruptions(checkpoint_every_s)
