"""Fixtures for tests that start processes."""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

from tests.forked import ForkedPython
from tests.thoroughness import examples, is_thorough

TESTS = Path(__file__).parent
BEGINS_ELSEWHERE = pytest.StashKey[bool]()

#: Each process that runs one of these tests starts a browser, or imports PyTorch's compiler and starts servers that
#: import it, too. Those that come first are run by one process; those at the end would be divided.
FIRST = (
    TESTS / "experiments" / "page" / "test_browser.py", TESTS / "training", TESTS / "examples", TESTS / "integrations",
)  # fmt: skip

#: One of so many garbage collections is a full one, which takes half a second among the objects of all tests.
FULL_COLLECTIONS = 200

#: How long a condition may take on a machine under heavy load. Tests wait for conditions, never for a time to pass.
PATIENCE_S = 250.0

# How long an example takes depends on what else the machine does. `make test` tries the same examples in every run, so
# that a change alone can make it fail; `make test-slow` tries new ones.
settings.register_profile("patient", deadline=None, max_examples=examples(100), derandomize=not is_thorough())
settings.load_profile("patient")

# Threads of OpenMP that wait for each other would not sleep at first, which takes the cores from other tests. Libraries
# read this when they are loaded: here, in servers and in trials.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# A shell starts what it sends to the background with SIGINT ignored, which all processes started from here would
# inherit; some tests are about Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _test_files() -> list[tuple[str, int]]:
    """What is in this folder, in the order in which it is collected, with the number of bytes of its test files."""
    entries = sorted(TESTS.iterdir(), key=lambda entry: entry.name)
    sizes = [
        sum(path.stat().st_size for path in (entry, *entry.rglob("*")) if path.match("test_*.py")) for entry in entries
    ]
    return [(entry.name, size) for entry, size in zip(entries, sizes, strict=True) if size]


def pytest_configure(config: pytest.Config) -> None:
    """Each of several processes begins to collect elsewhere.

    In a fresh clone, tests are compiled when they are collected, which takes as long as the collection. Processes that
    collect in the same order at the same time would each compile all of them.
    """
    worker = getattr(config, "workerinput", None)
    is_all = [config.invocation_params.dir / each for each in config.args] == [TESTS]
    # What is named would not be ignored.
    if worker is None or not is_all or config.getoption("ignore") or config.getoption("ignore_glob"):
        return
    found = _test_files()
    # One that replaces another that has died has a higher number.
    number = int(worker["workerid"].removeprefix("gw")) % worker["workercount"]
    share = number / worker["workercount"] * sum(size for _, size in found)
    first = next(i for i in range(len(found)) if sum(size for _, size in found[: i + 1]) > share)
    config.stash[BEGINS_ELSEWHERE] = True
    config.args[:] = [str(TESTS / name) for name, _ in found[first:] + found[:first]]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The order is the same in all processes again."""

    @functools.cache
    def place(path: Path) -> tuple[int, str]:
        found = next((i for i, first in enumerate(FIRST) if path.is_relative_to(first)), len(FIRST))
        return found, path.relative_to(TESTS).parts[0]

    if config.stash.get(BEGINS_ELSEWHERE, False):
        items.sort(key=lambda item: place(item.path))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """Collecting tests makes a million objects, which stay: garbage collections visit them rarely."""
    gc.disable()
    try:
        return (yield)
    finally:
        # They are taken as old. Left frozen, they would be counted at the end of every simulation.
        gc.freeze()
        gc.unfreeze()
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, FULL_COLLECTIONS)
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """What is left is not looked for among the million objects of the tests when the process ends."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _own_device_locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Devices are not shared with other runs of these tests, since that would give a warning."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        # Backends check after every step what must hold (syne_hypersched.backends.local._fleet_state).
        patch.setenv("SYNE_HYPERSCHED_VALIDATE", "1")
        yield


def _logging_levels() -> dict[str, object]:
    loggers = {name: found for name, found in logging.Logger.manager.loggerDict.items() if name.startswith("syne_h")}
    levels: dict[str, object] = {
        name: (found.level, found.disabled, found.propagate)
        for name, found in loggers.items()
        if isinstance(found, logging.Logger) and (found.level or found.disabled or not found.propagate)
    }
    return {**levels, "root": logging.root.level, "disable": logging.root.manager.disable}


@pytest.fixture(autouse=True)
def _same_logging() -> Iterator[None]:
    """Fails a test that leaves a logger quieter: tests that come after it on its worker would see no warning."""
    before = _logging_levels()
    yield
    assert _logging_levels() == before


@pytest.fixture
def wait_for() -> Callable[[Callable[[], object]], None]:
    """Waits until a condition holds."""

    def wait(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
        began = time.monotonic()
        while not condition():
            waited = time.monotonic() - began
            assert waited < timeout_s, f"not within {timeout_s} s"
            time.sleep(min(0.02, max(0.003, waited / 10)))  # what takes longer is looked at less often

    return wait


@pytest.fixture(scope="session")
def forked() -> Iterator[ForkedPython]:
    """Runs Python programs that need not import pandas anew."""
    python = ForkedPython()
    yield python
    python.close()


@pytest.fixture
def signals_of_nobody() -> Iterator[None]:
    """Nobody handles SIGUSR1 and SIGUSR2: a backend that another test has not stopped would keep both."""
    before = [(number, signal.signal(number, signal.SIG_DFL)) for number in (signal.SIGUSR1, signal.SIGUSR2)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


def _descendants(pid: int) -> set[int]:
    """Processes below one of this machine.

    Asked for those of a process, psutil reads the files of all processes, which takes longer than most tests.
    """
    if not Path(f"/proc/{pid}/task/{pid}/children").exists():  # not every kernel has it
        with contextlib.suppress(psutil.NoSuchProcess):
            return {process.pid for process in psutil.Process(pid).children(recursive=True)}
    found: set[int] = set()
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
                for child in map(int, (task / "children").read_text().split()):
                    found |= {child, *_descendants(child)}
    return found


@pytest.fixture
def no_process_left() -> Iterator[None]:
    """Fails a test that leaves a process behind, and ends that process."""
    before = _descendants(os.getpid())
    yield
    left = []
    for pid in _descendants(os.getpid()) - before:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.append(psutil.Process(pid))
    _, left = psutil.wait_procs(left, timeout=PATIENCE_S / 10)
    for process in left:
        process.kill()
    assert not left, f"processes are left behind: {left}"
