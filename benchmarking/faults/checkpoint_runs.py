"""Runs one experiment of ``best_checkpoint.py``, with its kills, and collects the evidence."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from benchmarking.faults.checkpoint_plans import TIME_ATTR, TUNER_NAME, Plan, make_tuner, write_plan
from benchmarking.faults.checkpoint_referee import COPIED_MB_PER_S, Best, Evidence, Reported, judge
from benchmarking.faults.checkpoint_writer import Found, Writer
from benchmarking.faults.checkpoint_writers import HEAVY, WRITERS, inspect
from benchmarking.faults.forks import run_in_fork
from syne_hypersched import resume_experiment
from syne_hypersched.experiments import Event, check_run, load_run, read_events

#: In the environment of all processes of a run, by which those that are left are found.
MARK = "BEST_CHECKPOINT_RUN"
#: A tuner that takes so many seconds longer than it should has hung.
PATIENCE_S = 60.0
#: What is seen in best/ in between is loaded only if it is not larger.
LARGEST_SIGHTING_BYTES = 4 << 20
ROOT = Path(__file__).resolve().parents[2]
#: Events with a reason that are about other things than a checkpoint that is not published.
_OTHER_EVENTS = frozenset(
    {"start", "resume", "launch", "exit", "drain", "pause", "stop", "resize", "retry", "fail", "complete", "refuse",
     "decision", "wait", "setup", "first_report", "remove_checkpoint"}
)  # fmt: skip


class Experiment:
    """One experiment, whose tuner runs in a fork of this process, which has imported everything."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self.path = folder / "experiments" / TUNER_NAME
        self.writer: Writer = WRITERS[plan.writer]()
        self.sightings: list[Best] = []
        self.crashed, self.hung = "", False
        self.kills: dict[str, int] = {}
        self._log = folder / "tuner.log"
        self._random = random.Random(plan.seed)
        self._kills = list(plan.kills)
        self._first_launch: float | None = None
        self._seen: tuple[str, int] | None = None
        self._read_events_until = 0
        #: Process ids of the ranks of each trial that lives.
        self._live: dict[int, list[int]] = {}

    def run(self) -> None:
        """Runs the tuner until it ends by itself, again after each kill."""
        os.environ[MARK] = str(self.folder)
        os.environ["SYNETUNE_FOLDER"] = str(self.folder / "experiments")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        write_plan(self.plan, self.folder)
        if self.plan.writer in HEAVY:
            import torch  # noqa: F401  here, since it takes seconds, in which nothing would be watched
        what: Callable[[], object] = self._start
        while self._lives_on(run_in_fork(what, self._log)):
            what = self._resume

    def _start(self) -> None:
        make_tuner(self.plan, self.folder).run()

    def _resume(self) -> None:
        anew = make_tuner(self.plan, self.folder) if self.plan.seed % 2 else None
        resume_experiment(TUNER_NAME, anew, time_passes="running")

    def _lives_on(self, pid: int) -> bool:
        """Watches a tuner to its end; whether it was killed, and the experiment is to be resumed."""
        give_up_at = time.monotonic() + self.plan.duration_s + PATIENCE_S
        while time.monotonic() < give_up_at:
            ended, status = os.waitpid(pid, os.WNOHANG)
            self._look()
            if ended:
                code = os.waitstatus_to_exitcode(status)
                if code != 0:
                    self.crashed = f"exit code {code}: {last_error(self._log)}"
                return False
            if self._kill_what_is_due(pid):
                self._look()
                return True
            time.sleep(0.005)
        self.hung = True
        os.kill(pid, signal.SIGABRT)
        os.waitpid(pid, 0)
        return False

    def _kill_what_is_due(self, tuner: int) -> bool:
        self._update()
        if self._first_launch is None or not self._kills:
            return False
        at_s, what = self._kills[0]
        late_s = time.monotonic() - self._first_launch - at_s
        if late_s < 0:
            return False
        if what == "tuner":
            if not any(self.path.glob("journal/*.jsonl")):
                return False
            os.kill(tuner, signal.SIGKILL)
            os.waitpid(tuner, 0)
            self._live.clear()
        else:
            ranks = [pids[0] for pids in self._live.values()]
            if what == "writing rank":
                ranks = [pid for pid in ranks if writes_below(pid, self.path)]
            if not ranks:
                if late_s > 3.0:  # nothing is written for long enough to be met
                    self._kills.pop(0)
                return False
            pid = self._random.choice(ranks)
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                if process.environ().get(MARK) == str(self.folder):
                    process.kill()
        self.kills[what] = self.kills.get(what, 0) + 1
        self._kills.pop(0)
        return what == "tuner"

    def _update(self) -> None:
        path = self.path / "events.jsonl"
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            file.seek(self._read_events_until)
            content = file.read()
            content = content[: content.rfind(b"\n") + 1]
            self._read_events_until += len(content)
            for line in content.splitlines():
                with contextlib.suppress(ValueError):
                    self._take(json.loads(line))

    def _take(self, event: Mapping[str, Any]) -> None:
        if event.get("event") == "launch":
            if self._first_launch is None:
                self._first_launch = time.monotonic()
            self._live[event["trial_id"]] = list(event["pids"])
        elif event.get("event") == "exit":
            self._live.pop(event.get("trial_id", -1), None)

    def _look(self) -> None:
        """Takes down what is in best/, if that has changed."""
        seen = self._state_of_best()
        if seen is None or seen == self._seen:
            return
        loads = self.plan.size <= LARGEST_SIGHTING_BYTES
        with contextlib.suppress(OSError, ValueError, KeyError):
            best = read_best(self.path / "best", self.writer, self.xs() if loads else {}, loads)
            if self._state_of_best() == seen:  # else it was replaced while it was read
                self._seen = seen
                if loads:
                    self.sightings.append(best)

    def _state_of_best(self) -> tuple[str, int] | None:
        best = self.path / "best"
        try:
            return os.path.realpath(best), os.stat(best / "result.json").st_ino
        except OSError:
            return None

    def xs(self) -> dict[int, float]:
        """The configuration of each trial."""
        found = {}
        for path in self.path.glob("*/config.json"):
            if path.parent.name.isdigit():
                with contextlib.suppress(OSError, ValueError, KeyError):
                    found[int(path.parent.name)] = float(json.loads(path.read_text())["x"])
        return found

    def evidence(self) -> Evidence:
        """All that is known, after it has ended."""
        left = [f"{process.pid} {' '.join(process.cmdline())[:200]}" for process in marked_processes(self.folder)]
        end_marked_processes(self.folder)
        xs = self.xs()
        run = load_run(self.path, TIME_ATTR)
        best = None
        if (self.path / "best" / "result.json").exists():
            best = read_best(self.path / "best", self.writer, xs, loads=True)
        return Evidence(
            order=self.plan.order,
            deadline_s=run.deadline_s,
            reports=[Reported(r.trial_id, int(r.resource), r.value, r.time_s) for r in run.reports],
            diaries={trial_id: read_diary(self.folder / "diaries" / f"{x!r}.jsonl") for trial_id, x in xs.items()},
            xs=xs,
            best=best,
            sightings=[*self.sightings, *([best] if best is not None else [])],
            explained=list(explained(run.events)),
            killed=frozenset(
                (e.trial_id, e.launch)
                for e in run.events
                if e.event == "exit"
                and e.trial_id is not None
                and e.launch is not None
                and (e.details.get("exit_code") == -9 or e.details.get("how") == "lost")
            ),
            failed=frozenset(e.trial_id for e in run.events if e.event == "fail" and e.trial_id is not None),
            copy_s=0.0 if WRITERS[self.plan.writer].is_atomic else self.plan.size / 1e6 / COPIED_MB_PER_S,
            violations=[(violation.rule, violation.message) for violation in check_run(run, step=1)],
            left=left,
            crashed=self.crashed,
            hung=self.hung,
        )


def last_error(log: Path, max_chars: int = 3000) -> str:
    """The last traceback in a log, or else its end."""
    text = log.read_text(errors="replace")
    begin = text.rfind("Traceback (most recent call last)")
    return text[-max_chars:] if begin < 0 else text[begin : begin + max_chars]


def writes_below(pid: int, folder: Path) -> bool:
    """Whether a process has a file below a folder open for writing that is not a log."""
    prefix = f"{folder}/"
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            if target.startswith(prefix) and not target.endswith((".out", ".err")):
                return True
    return False


def marked_processes(folder: Path) -> list[psutil.Process]:
    """Processes of a run that live, but for this one."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            own = process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE
            if not own and process.environ().get(MARK) == str(folder):
                found.append(process)
    return found


def end_marked_processes(folder: Path) -> None:
    for process in marked_processes(folder):
        with contextlib.suppress(psutil.Error):
            process.kill()


def read_best(folder: Path, writer: Writer, xs: Mapping[int, float], loads: bool) -> Best:
    """What is in ``best/``."""
    result = json.loads((folder / "result.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    checkpoint = folder / "checkpoint"
    is_there = checkpoint.is_dir() and any(checkpoint.iterdir())
    found = inspect(writer, checkpoint, xs.get(result["trial_id"])) if loads else Found("none")
    return Best(result, found, is_there, config.get("x"))


def read_diary(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]


def explained(events: Sequence[Event]) -> Iterator[tuple[int, int | None]]:
    """Reports of which the run says why their checkpoint is not in best/."""
    for event in events:
        if event.trial_id is not None and event.reason and event.event not in _OTHER_EVENTS:
            # That the best report of a trial has no whole checkpoint is said of those before it, too.
            level = event.details.get("level")
            yield event.trial_id, None if level is None else int(level)


def run_plan(plan: Plan, folder: Path) -> dict[str, Any]:
    """Runs an experiment and judges it.

    Returns
    -------
    dict
        Values of JSON: the plan, what happened, the faults.
    """
    started = time.monotonic()
    experiment = Experiment(plan, folder)
    try:
        experiment.run()
        evidence = experiment.evidence()
        verdict = judge(evidence)
    finally:
        end_marked_processes(folder)
    events = read_events(experiment.path / "events.jsonl")
    return {
        "plan": asdict(plan),
        "what": plan.what,
        "wall_s": round(time.monotonic() - started, 1),
        "faults": [asdict(fault) for fault in verdict.faults],
        "match": verdict.match,
        "kills": experiment.kills,
        "num_trials": len(evidence.xs),
        "num_reports": len(evidence.reports),
        "num_sightings": len(evidence.sightings),
        "counts": dict(verdict.counts),
        "bytes_copied": sum(int(event.details.get("bytes_copied") or 0) for event in events),
        "bytes_saved": plan.size * verdict.counts["saved"],
        "generations": sum(int(event.details.get("num_generations") or 0) for event in events),
    }
