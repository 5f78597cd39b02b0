from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.forked import ForkedPython


@pytest.fixture(scope="session")
def forked_torch() -> Iterator[ForkedPython]:
    """Runs Python programs that need not import PyTorch anew."""
    python = ForkedPython(["torch", "torch.distributed", "syne_hypersched.training", "psutil"])
    yield python
    python.close()


@pytest.fixture(scope="session")
def counting_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Forks the script that counts samples; that it imports PyTorch takes seconds, once for all tests."""
    from benchmarking.fidelity.invisible_resizing import Server
    from benchmarking.fidelity.resizing_workloads import WORKLOADS

    server = Server(WORKLOADS["counting"].script, tmp_path_factory.mktemp("server") / "server.log")
    server.launcher.warm_up()
    yield server
    server.launcher.close()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """PyTorch computes in one thread: several wait for each other in each small operation where the cores are busy."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)
