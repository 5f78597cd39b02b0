"""Trains nothing, and saves and reports in the order and the way that a plan says. Used by ``best_checkpoint.py``.

Beside its checkpoints it keeps a diary, in which the truth is: what it has found at every launch, which saves it has
begun and completed, and what it has reported.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarking.faults.checkpoint_seals import Identity
from benchmarking.faults.checkpoint_writer import Writer
from benchmarking.faults.checkpoint_writers import WRITERS, inspect

SAVE_FIRST = "save, report"
REPORT_FIRST = "report, save"
EVERY_FEW = "save every 3, report"
WHEN_BETTER = "save if better, report"
REPORT_THEN_BETTER = "report, save if better"
INITIAL = "save at the start, report, save"
THREAD = "save in a thread, report"
REPORT_THEN_THREAD = "report, save in a thread"
AGAIN = "save, report, again at launch"
REPORT_THEN_FEW = "report, save every 3"
BOTH = "save, report, save"
TWICE = "save twice, report"
ON_SIGTERM = "save on SIGTERM"
NEVER = "never save"
ORDERS = (
    SAVE_FIRST, REPORT_FIRST, AGAIN, EVERY_FEW, REPORT_THEN_FEW, WHEN_BETTER, REPORT_THEN_BETTER, INITIAL, THREAD,
    REPORT_THEN_THREAD, BOTH, TWICE, ON_SIGTERM, NEVER,
)  # fmt: skip
#: Epochs between two saves of :const:`EVERY_FEW` and :const:`REPORT_THEN_FEW`.
FEW = 3


def loss_of(x: float, epoch: int, peak: int) -> float:
    """Best at epoch ``peak`` and worse before and after it; 0: the later the better. No two epochs have the same."""
    # Weak trials are so by a good deal, as schedulers find out at the first report, and a good one gets bad slowly.
    return x + (0.02 * abs(epoch - peak) + 0.001 * epoch if peak else 0.5 / epoch)


class Diary:
    """Lines of JSON, each written by one call, so that a process that is killed leaves none torn."""

    def __init__(self, path: Path) -> None:
        self.num_launches = path.read_text().count('"begin"') if path.exists() else 0
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, what: str, **details: Any) -> None:
        os.write(self._fd, (json.dumps({"what": what, **details, "time": time.time()}) + "\n").encode())


def _listing(folder: Path) -> list[Any]:
    """What shows that something was written below a folder."""
    found = []
    for parent, folders, files in os.walk(folder):  # which goes on if a folder is moved meanwhile
        for name in (*folders, *files):
            with contextlib.suppress(FileNotFoundError):
                path = os.path.join(parent, name)
                status = os.lstat(path)
                found.append((path, status.st_ino, status.st_size, status.st_mtime_ns))
    return sorted(found)


class Training:
    """One launch of a trial."""

    def __init__(self, x: float, plan: dict[str, Any], folder: Path) -> None:
        self._x, self._plan, self._folder = x, plan, folder
        self._diary = Diary(Path(plan["diaries"]) / f"{x!r}.jsonl")
        self._launch = self._diary.num_launches
        self._writer: Writer = WRITERS[plan["writer"]](plan["num_pauses"], plan["pause_s"])
        self._done = 0
        self._best = float("inf")
        self._thread: threading.Thread | None = None
        self._must_leave = False
        #: The folder before the thread has begun to save.
        self._listing: list[Any] = []

    def run(self) -> None:
        self._begin()
        for epoch in range(self._done + 1, self._plan["max_t"] + 1):
            time.sleep(self._plan["epoch_s"])
            with self._undisturbed():
                self._end_epoch(epoch)
            if self._must_leave:
                break
        if self._thread is not None:
            self._thread.join()
        if self._must_leave:
            sys.exit(75)

    def _end_epoch(self, epoch: int) -> None:
        order, loss = self._plan["order"], self._loss(epoch)
        is_better, self._best = loss < self._best, min(loss, self._best)
        if order == ON_SIGTERM:
            self._done = epoch
        if order == TWICE:
            self._save(epoch)
            time.sleep(self._plan["lag_s"])
        if (
            order in (SAVE_FIRST, AGAIN, BOTH, TWICE)
            or (order == EVERY_FEW and epoch % FEW == 0)
            or (order == WHEN_BETTER and is_better)
        ):
            self._save(epoch)
            time.sleep(self._plan["lag_s"])
        elif order == THREAD:
            self._save_in_thread(epoch)
            time.sleep(self._plan["lag_s"])
        self._report(epoch, loss)
        if (
            order in (REPORT_FIRST, INITIAL, BOTH)
            or (order == REPORT_THEN_FEW and epoch % FEW == 0)
            or (order == REPORT_THEN_BETTER and is_better)
        ):
            time.sleep(self._plan["lag_s"])
            self._save(epoch)
        elif order == REPORT_THEN_THREAD:
            time.sleep(self._plan["lag_s"])
            self._save_in_thread(epoch)

    def _begin(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        found = inspect(self._writer, self._folder, self._x)
        self._diary.write(
            "begin", launch=self._launch, state=found.state, epoch=found.epoch, of_launch=found.launch, why=found.why,
            print=found.print,
        )  # fmt: skip
        if found.state == "whole" and found.epoch is not None:
            self._done = found.epoch
            self._best = min((self._loss(epoch) for epoch in range(1, self._done + 1)), default=self._best)
        elif found.state != "none" and not self._writer.is_lenient:
            raise RuntimeError(f"the checkpoint is {found.state}: {found.why}")
        if self._plan["order"] == ON_SIGTERM:
            signal.signal(signal.SIGTERM, self._save_and_leave)
        elif self._plan["on_sigterm"] == "leave":
            signal.signal(signal.SIGTERM, self._leave_soon)
        if self._plan["order"] == INITIAL and found.state == "none":
            self._save(0)
        if self._plan["order"] == AGAIN and self._done:  # it may have been killed before it had reported this
            self._report(self._done, self._loss(self._done))

    def _loss(self, epoch: int) -> float:
        return loss_of(self._x, epoch, self._plan["peak"])

    def _save(self, epoch: int) -> None:
        self._diary.write("saving", epoch=epoch)
        self._writer.save(self._folder, Identity(self._x, self._launch, epoch, size=self._plan["size"]))
        self._diary.write("saved", epoch=epoch)

    def _save_in_thread(self, epoch: int) -> None:
        if self._thread is not None:
            self._thread.join()
        self._listing = _listing(self._folder)
        self._thread = threading.Thread(target=self._save, args=(epoch,))
        self._thread.start()

    def _report(self, epoch: int, loss: float) -> None:
        # Nobody can know of which epoch a checkpoint is whose first byte is written after the next report.
        while self._thread is not None and self._thread.is_alive() and _listing(self._folder) == self._listing:
            time.sleep(0.001)
        report = {"epoch": epoch, "loss": loss, "st_worker_timestamp": time.time()}
        print("[tune-metric]: " + json.dumps(report), flush=True)
        self._diary.write("reported", epoch=epoch)

    def _save_and_leave(self, *_: Any) -> None:
        if self._done:
            self._save(self._done)
        os._exit(self._plan["exit_code"])

    def _leave_soon(self, *_: Any) -> None:
        self._must_leave = True

    @contextlib.contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Lets a SIGTERM take effect only at its end, if the plan says so."""
        if self._plan["on_sigterm"] != "defer" or self._plan["order"] == ON_SIGTERM:
            yield
            return
        received: list[int] = []
        before: Callable[..., Any] | int | None = signal.signal(
            signal.SIGTERM, lambda signum, _: received.append(signum)
        )
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
            if received:
                self._diary.write("deferred")
                os.kill(os.getpid(), signal.SIGTERM)


def train(x: float, plan: str, st_checkpoint_dir: str) -> None:
    """Trains until all epochs are done.

    Parameters
    ----------
    x
        The configuration.
    plan
        Path of the plan.
    st_checkpoint_dir
        Where checkpoints go.
    """
    if os.environ.get("RANK", "0") == "0":
        Training(x, json.loads(Path(plan).read_text()), Path(st_checkpoint_dir)).run()


def main() -> None:
    arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    train(float(arguments["--x"]), arguments["--plan"], arguments["--st_checkpoint_dir"])


if __name__ == "__main__":
    main()
