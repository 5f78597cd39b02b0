"""Trains once undisturbed on one device and once with many resizes, and compares the two.

    python benchmarking/fidelity/invisible_resizing.py  # the digits network and the small transformer
    python benchmarking/fidelity/invisible_resizing.py --script digits_cnn --resizes 20 --seed 3

The second run alternates between one and two devices (processes with DistributedDataParallel on Gloo). It is ended by
SIGTERM and SIGKILL in turn, at a random moment inside an epoch, and goes on from its checkpoint. With ``--how
in_place`` processes join and leave while it goes on, and with ``--how mixed`` half of these changes are disturbed. The
table shows the largest relative difference of each reported metric. ``counting`` trains a small model whose reports
show whether every sample was counted exactly once per epoch.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarking.fidelity.resizing_workloads import WORKLOADS, Workload
from syne_hypersched._resize_desk import JOINS, RESIZE_DIR, ChangeOutcome, RankChange, ResizeDesk
from syne_hypersched.backends.local._preload import modules_to_preload
from syne_hypersched.backends.machine.discovery import find_devices
from syne_hypersched.backends.machine.environment import rank_environments
from syne_hypersched.backends.shared.reports import LogTail
from syne_hypersched.launch import Launcher, LaunchExit, LaunchSpec, RankSpec

_PATIENCE_S = 600.0


@dataclass
class Training:
    """The reports and launches of a run."""

    reports: dict[int, dict[str, Any]] = field(default_factory=dict)
    """By epoch."""
    num_doubled: int = 0
    """Reports of an epoch that had been reported before."""
    num_devices: list[int] = field(default_factory=list)
    """Number of devices of each launch."""
    num_left: int = 0
    """Launches that exited on SIGTERM with the exit code for it."""
    num_killed: int = 0


class Server:
    """A preloading server of a script, as the local backend has it, and what became of its launches."""

    def __init__(self, script: Path, log_path: Path) -> None:
        self.pids: dict[int, list[int]] = {}
        self.exits: dict[int, LaunchExit] = {}
        self.launcher = Launcher(
            lambda handle, pids, _: self.pids.update({handle: pids}),
            lambda handle, ended, _: self.exits.update({handle: ended}),
            modules_to_preload(script),
            log_path=log_path,
        )


class Trainer:
    """Launches a training script many times in forks of one server: a given one, or its own."""

    def __init__(self, workload: Workload, folder: Path, num_slots: int = 2, server: Server | None = None) -> None:
        self._workload = workload
        self._folder = folder
        self._devices = find_devices(num_slots, device_type="cpu")
        self._has_own_server = server is None
        server = server or Server(workload.script, folder / "server.log")
        self._launcher, self._pids, self._exits = server.launcher, server.pids, server.exits
        #: The launches that have not ended: the first one, and those that have joined it.
        self._handles: list[int] = []
        self._desk = ResizeDesk(folder / "resizes")
        self._num_changes = self._num_ranks = 0
        self._tail = LogTail(self._log(0))
        self._reports: list[dict[str, Any]] = []
        self.outcome = Training()

    def launch(self, num_devices: int) -> None:
        """Starts the script on a number of devices."""
        self._handles = []
        self._desk.open()
        self._num_changes, self._num_ranks = 0, num_devices
        self._start(range(num_devices), {})
        self.outcome.num_devices.append(num_devices)

    def order(self, num_devices: int, gone: tuple[int, ...] = ()) -> RankChange:
        """Orders another number of devices while the script trains, and starts the processes that are new.

        Parameters
        ----------
        num_devices
            How many are to train.
        gone
            The ranks that leave; by default the last ones.
        """
        change = RankChange(self._num_changes, self._num_ranks, num_devices, gone)
        self._num_changes += 1
        if change.new_ranks:
            self._start(change.new_ranks, {JOINS: f"{change.number}:{change.before}"}, num_devices)
        self._desk.order(change)
        return change

    def wait_for(self, change: RankChange) -> ChangeOutcome | None:
        """Waits for the outcome of a change; None if the script has ended before."""
        self._wait_until(lambda: self._desk.outcome(change) is not None or self._handles[0] in self._exits)
        outcome = self._desk.outcome(change)
        if outcome is not None and outcome.is_done:
            self._num_ranks = change.after
            self.outcome.num_devices.append(change.after)
        return outcome

    def withdraw(self, change: RankChange) -> bool:
        """Withdraws a change, and ends its processes; False if it was begun."""
        if not self._desk.withdraw(change):
            return False
        if change.new_ranks:
            self.kill_newest()
        return True

    def kill_newest(self) -> None:
        """Sends SIGKILL to the processes that were started last."""
        self._kill(self._handles[-1])
        self._wait_until(lambda: self._handles[-1] in self._exits)

    def give_up(self, change: RankChange) -> None:
        """Tells the script that new processes have died: a change that was begun fails, any other is withdrawn."""
        if self._desk.withdraw(change):
            self._desk.answer(ChangeOutcome(change.number, False, "withdrawn"))
        self._desk.give_up(change)

    def has_lost_ranks(self) -> bool:
        """Whether processes that train have been killed, so that the others wait for them or have failed."""
        first, *joined = self._handles
        if first in self._exits and self._exits[first].exit_code != 0:
            return True
        lost = [handle for handle in joined if handle in self._exits and self._exits[handle].exit_code != 0]
        return self._num_ranks > 1 and bool(lost) and lost[-1] == joined[-1]

    def wait_until_able(self) -> None:
        """Waits until the script has said that its processes can change, or has ended."""
        self._wait_until(lambda: self._desk.is_able or self._handles[0] in self._exits)

    @property
    def num_ranks(self) -> int:
        """Processes that train."""
        return self._num_ranks

    def has_ready(self, change: RankChange) -> bool:
        """Whether all new processes wait to be let in."""
        return len(self._desk.ready_times(change)) == len(change.new_ranks)

    def _start(self, new_ranks: range, joins: dict[str, str], num_ranks: int | None = None) -> None:
        argv = (
            str(self._workload.script),
            *self._workload.arguments,
            "--st_checkpoint_dir",
            str(self._folder / "checkpoints"),
        )
        held = self._devices.names[: num_ranks or len(new_ranks)]
        environments = rank_environments(self._devices, held, True, os.environ)
        extra = {RESIZE_DIR: str(self._folder / "resizes"), **joins}
        ranks = tuple(
            RankSpec(env | extra, str(self._log(rank)), str(self._folder / f"err{rank}"), cores)
            for rank, (env, cores) in enumerate(environments)
            if rank in new_ranks
        )
        self._handles.append(self._launcher.launch(LaunchSpec(argv, ranks, True, 30.0, str(self._folder))))

    def ask_to_leave(self) -> None:
        """Sends SIGTERM to all processes, and waits until they have ended."""
        for handle in self._handles:
            self._launcher.drain(handle, grace_s=30.0)
        ended = self.wait_for_exit()
        self.outcome.num_left += ended.has_left

    def kill(self) -> None:
        """Sends SIGKILL to all processes, and waits until they have ended."""
        for handle in self._handles:
            self._kill(handle)
        self.wait_for_exit()
        self.outcome.num_killed += 1

    def _kill(self, handle: int) -> None:
        self._wait_until(lambda: handle in self._pids)
        for pid in self._pids[handle]:
            with contextlib.suppress(ProcessLookupError):  # it has ended just now
                os.kill(pid, signal.SIGKILL)

    def wait_for_exit(self) -> LaunchExit:
        """Waits until no process is left; returns how the first launch has ended."""
        self._wait_until(lambda: self._handles[0] in self._exits)
        for handle in self._handles[1:]:  # those that have not been let in wait for ever
            self._launcher.drain(handle, grace_s=2.0)
        self._wait_until(lambda: all(handle in self._exits for handle in self._handles))
        return self._exits[self._handles[0]]

    def wait_for_report(self, count: int) -> bool:
        """Waits until ``count`` reports were made in all; False if the script has ended before."""
        self._wait_until(lambda: self.count_reports() >= count or self._handles[0] in self._exits)
        return self._handles[0] not in self._exits

    def finish(self) -> Training:
        """Waits for the end of the script and reads its reports."""
        ended = self.wait_for_exit()
        if ended.exit_code != 0:
            sys.exit(f"{self._workload.script.name} failed: {(self._folder / 'err0').read_text()[-2000:]}")
        return self.read()

    def read(self) -> Training:
        """Reads the reports so far."""
        self.count_reports()
        for report in self._reports:
            self.outcome.num_doubled += report["epoch"] in self.outcome.reports
            self.outcome.reports[report["epoch"]] = report
        return self.outcome

    def close(self) -> None:
        """Ends the processes, and its own server."""
        if self._has_own_server:
            self._launcher.close()
        for handle in self._handles:
            if handle not in self._exits:
                self._kill(handle)
                self._wait_until(lambda handle=handle: handle in self._exits)

    def count_reports(self) -> int:
        """Reads the new part of the log; returns the number of reports so far."""
        self._reports += [report.values for report in self._tail.reports()]
        return len(self._reports)

    def _log(self, rank: int) -> Path:
        return self._folder / f"out{rank}"

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + _PATIENCE_S
        while not condition():
            if time.monotonic() > give_up_at:
                sys.exit(f"{self._workload.script.name}: nothing happens; see {self._folder}")
            time.sleep(0.005)


def train_undisturbed(workload: Workload, folder: Path, server: Server | None = None) -> Training:
    """The whole training in one launch on one device."""
    trainer = Trainer(workload, folder, server=server)
    try:
        trainer.launch(1)
        return trainer.finish()
    finally:
        trainer.close()


def train_disturbed(
    workload: Workload, folder: Path, num_resizes: int, seed: int, server: Server | None = None
) -> Training:
    """The training with a number of resizes between one and two devices, every second one by SIGKILL."""
    generator = random.Random(seed)
    trainer = Trainer(workload, folder, server=server)
    try:
        num_reports = 0
        for number in range(num_resizes):
            trainer.launch(1 + number % 2)
            started = time.monotonic()
            if not trainer.wait_for_report(num_reports + 1):
                break
            # After the first report, somewhere in the next epoch.
            time.sleep(generator.uniform(0.0, 1.0) * min(1.0, 0.5 * (time.monotonic() - started)))
            if generator.random() < 0.5:
                trainer.kill()
            else:
                trainer.ask_to_leave()
            num_reports = trainer.count_reports()
        else:
            trainer.launch(1 + num_resizes % 2)
        return trainer.finish()
    finally:
        trainer.close()


def train_changed(workload: Workload, folder: Path, num_changes: int, seed: int, faults: bool = False) -> Training:
    """The training with changes between one and two devices while it goes on.

    Parameters
    ----------
    workload, folder
        What is trained, and where.
    num_changes
        Changes to order.
    seed
        Of the moments and the faults.
    faults
        Whether half of the changes are disturbed: by SIGKILL of new processes at any moment, by SIGKILL of all, or by a
        withdrawal.
    """
    generator = random.Random(seed)
    trainer = Trainer(workload, folder)
    try:
        trainer.launch(1)
        for _ in range(num_changes):
            trainer.wait_until_able()
            change = trainer.order(3 - trainer.num_ranks)
            fault = generator.choice(("newest", "all", "withdraw")) if faults and generator.random() < 0.5 else ""
            if fault:
                time.sleep(generator.uniform(0.0, 0.3))
            if fault == "withdraw" and trainer.withdraw(change):
                continue
            if fault == "all":
                num_ranks = trainer.num_ranks
                trainer.kill()
                trainer.launch(num_ranks)
                continue
            if fault == "newest" and change.new_ranks:
                trainer.kill_newest()
                trainer.give_up(change)
            outcome = trainer.wait_for(change)
            if trainer.has_lost_ranks():
                num_ranks = trainer.num_ranks
                trainer.kill()
                trainer.launch(num_ranks)
            elif outcome is None:
                break
        return trainer.finish()
    finally:
        trainer.close()


def largest_difference(one: Training, other: Training, metric: str) -> float:
    """Largest relative difference of a metric over the epochs; infinite if epochs are missing."""
    if list(one.reports) != sorted(other.reports):
        return float("inf")
    pairs = [(one.reports[epoch][metric], other.reports[epoch][metric]) for epoch in one.reports]
    return max(abs(a - b) / max(abs(a), 1e-12) for a, b in pairs)


_WAYS: dict[str, Callable[[Workload, Path, int, int], Training]] = {
    "relaunch": train_disturbed,
    "in_place": train_changed,
    "mixed": functools.partial(train_changed, faults=True),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--script", choices=list(WORKLOADS), action="append", help="by default all")
    parser.add_argument("--resizes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments and kinds of the disturbances")
    parser.add_argument("--how", choices=list(_WAYS), default="relaunch", help="in_place: processes join and leave")
    args = parser.parse_args(arguments)
    print(
        f"{'script':<16}{'epochs':>7}{'launches':>9}{'left':>6}{'killed':>7}{'doubled':>8}  largest relative difference"
    )
    for name in args.script or WORKLOADS:
        with tempfile.TemporaryDirectory() as folder:
            quiet, disturbed = Path(folder, "quiet"), Path(folder, "disturbed")
            quiet.mkdir()
            disturbed.mkdir()
            alone = train_undisturbed(WORKLOADS[name], quiet)
            resized = _WAYS[args.how](WORKLOADS[name], disturbed, args.resizes, args.seed)
        differences = [
            f"{metric} {largest_difference(alone, resized, metric):.1e}" for metric in WORKLOADS[name].metrics
        ]
        print(
            f"{name:<16}{len(resized.reports):>7}{len(resized.num_devices):>9}{resized.num_left:>6}"
            f"{resized.num_killed:>7}{resized.num_doubled:>8}  {', '.join(differences)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
