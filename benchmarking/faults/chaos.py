"""Injects all kinds of faults into a tuning run, and checks that nothing was lost.

    python benchmarking/faults/chaos.py                        # a run without faults, then one with them: two minutes
    python benchmarking/faults/chaos.py --reports 500 --seed 3

Promotion ASHA with frequent resizes tunes a fast script on four CPU slots. One trial in three writes its checkpoints in
place after the report, one saves before it reports, and one reports first and keeps two checkpoints. Meanwhile ranks,
supervisors and the preloading server are killed, ranks are stopped, newest checkpoints are torn, and scripts exit
slowly. Then the program checks that no report was lost, doubled or wrong, that no process and no device is left over,
and that the scheduler has the right state: that of a replay of its calls, whose reports are computed epoch by epoch
without any processes.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import os
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend.trial_status import Status, Trial
from syne_tune.config_space import choice, uniform
from syne_tune.optimizer.scheduler import SchedulerDecision

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarking.faults.chaos_faults import FaultInjector
from benchmarking.faults.chaos_script import WRITERS, training
from syne_hypersched import ASHA, ElasticLocalBackend
from syne_hypersched.backends.shared.reports import LogTail
from syne_hypersched.contract import is_elastic
from syne_hypersched.experiments import EventReader, Report, Run, check_run, holdings, load_run
from syne_hypersched.filenames import EVENTS_FILENAME

SCRIPT = Path(__file__).with_name("chaos_script.py")
NUM_DEVICES = 4
NUM_WORKERS = 3
MAX_T = 27
GRACE_S = 0.3
SLOW_EXIT_S = 0.5


@dataclass(frozen=True)
class Call:
    """A call of the scheduler by the tuner, and its answer."""

    what: str
    trial_id: int | None = None
    answer: Any = None


class RestlessASHA(ASHA):
    """Promotion ASHA that records its calls, and resizes trials between one and two devices all the time."""

    def __init__(self, seed: int, slow_exit_s: float) -> None:
        space = {"x": uniform(0, 1), "writer": choice(list(WRITERS)), "epochs": MAX_T, "slow_exit_s": slow_exit_s}
        super().__init__(
            space, "loss", "epoch", max_t=MAX_T, type="promotion", grace_period=3, random_seed=seed
        )  # fmt: skip
        self.calls: list[Call] = []

    def suggest(self) -> Any:
        suggestion = super().suggest()
        self.calls.append(Call("suggest", None, (suggestion.checkpoint_trial_id, suggestion.config)))
        return suggestion

    def on_trial_add(self, trial: Trial) -> None:
        super().on_trial_add(trial)
        self.calls.append(Call("add", trial.trial_id, trial.config))

    def on_trial_result(self, trial: Trial, result: dict[str, Any]) -> str:
        decision = super().on_trial_result(trial=trial, result=result)
        self.calls.append(Call("result", trial.trial_id, decision))
        if decision == SchedulerDecision.CONTINUE and is_elastic(trial) and (trial.trial_id + result["epoch"]) % 4 == 0:
            trial.resize(1 + trial.num_devices % 2)
        return decision

    def on_trial_complete(self, trial: Trial, result: dict[str, Any]) -> None:
        super().on_trial_complete(trial, result)
        self.calls.append(Call("complete", trial.trial_id))

    def on_trial_remove(self, trial: Trial) -> None:
        super().on_trial_remove(trial)
        self.calls.append(Call("remove", trial.trial_id))

    def on_trial_error(self, trial: Trial) -> None:
        super().on_trial_error(trial)
        self.calls.append(Call("error", trial.trial_id))

    def metadata(self) -> dict[str, Any]:
        return {name: value for name, value in super().metadata().items() if name != "calls"}


@dataclass
class Outcome:
    """The results of a run."""

    wall_s: float
    num_launches: int
    num_reports: int
    num_retries: int
    num_failed: int
    ends: Counter[str]
    """Number of launches by the way in which they ended."""
    faults: Counter[str]
    """Number of injected faults by kind."""
    wrong: list[str] = field(default_factory=list)
    """Violations, in words."""


def run(num_reports: int, seed: int, mean_pause_s: float | None, folder: Path) -> Outcome:
    """Tunes until the given number of reports; with faults if a mean pause between them is given."""
    os.environ["SYNETUNE_FOLDER"] = str(folder)
    slow_exit_s = 0.0 if mean_pause_s is None else SLOW_EXIT_S
    backend = ElasticLocalBackend(
        SCRIPT, NUM_DEVICES, device_type="cpu", grace_s=GRACE_S, retry_backoff_s=0.05, stall_timeout_s=1.5,
        preload=["syne_tune.report"],
    )  # fmt: skip
    scheduler = RestlessASHA(seed, slow_exit_s)
    tuner = Tuner(
        backend, scheduler, StoppingCriterion(max_num_evaluations=num_reports), n_workers=NUM_WORKERS, sleep_time=0.01,
        results_update_interval=5, print_update_interval=1e9, max_failures=num_reports, tuner_name="chaos",
    )  # fmt: skip
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    faults: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        if mean_pause_s is not None:
            events = EventReader(Path(tuner.tuner_path) / EVENTS_FILENAME)
            injector = stack.enter_context(FaultInjector(backend, events, seed, mean_pause_s))
            faults = injector.counts
        started = time.monotonic()
        tuner.run()
        wall_s = time.monotonic() - started
    left = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    result = load_run(tuner.tuner_path, time_attr="epoch")
    statuses = {trial_id: trial.status for trial_id, trial in backend._trial_dict.items()}
    outcome = Outcome(
        wall_s=wall_s,
        num_launches=sum(event.event == "launch" for event in result.events),
        num_reports=len(result.reports),
        num_retries=sum(event.event == "retry" for event in result.events),
        num_failed=sum(event.event == "fail" for event in result.events),
        ends=Counter(event.details["how"] for event in result.events if event.event == "exit"),
        faults=faults,
    )
    if mean_pause_s is None and outcome.num_failed:
        outcome.wrong.append(f"{outcome.num_failed} trials have failed, and nothing was done to them")
    outcome.wrong += [f"process {process} is left" for process in left]
    outcome.wrong += [f"a device is left to trial {trial_id}" for trial_id, _ in backend.busy_trial_ids()]
    outcome.wrong += [f"{holding} has no end" for holding in holdings(result.events) if holding.end_s is None]
    outcome.wrong += [violation.message for violation in check_run(result, step=1)]
    outcome.wrong += list(wrong_reports(result.reports, {i: t.config["x"] for i, t in backend._trial_dict.items()}))
    outcome.wrong += list(lost_reports(result, backend, statuses))
    outcome.wrong += list(replay(scheduler, RestlessASHA(seed, slow_exit_s)))
    return outcome


def wrong_reports(reports: Sequence[Report], x_of: Mapping[int, float]) -> Iterator[str]:
    """Reports whose value is not that of uninterrupted training, and trials with a missing or doubled epoch.

    A value may differ by the rounding of the table from which it was read; a value that was computed from another state
    differs by far more.
    """
    levels: dict[int, list[int]] = {}
    for report in reports:
        levels.setdefault(report.trial_id, []).append(int(report.resource))
        expected = loss_at(x_of[report.trial_id], int(report.resource))
        if not math.isclose(report.value, expected, rel_tol=1e-12):
            yield f"trial {report.trial_id} has reported {report.value} at epoch {report.resource}, not {expected}"
    for trial_id, reported in levels.items():
        if reported != list(range(1, len(reported) + 1)):
            yield f"trial {trial_id} has reported epochs {reported}"


def loss_at(x: float, epoch: int) -> float:
    return next(islice(training(x), epoch - 1, None))[1]


def lost_reports(result: Run, backend: ElasticLocalBackend, statuses: dict[int, str]) -> Iterator[str]:
    """Reports that are in the logs but not in the results, of trials that have ended by themselves."""
    delivered: dict[int, float] = {}
    for report in result.reports:
        delivered[report.trial_id] = report.resource
    for trial_id, status in statuses.items():
        if status in (Status.completed, Status.failed):
            log = Path(backend.trial_path(trial_id)) / "std.out"
            printed = max((report.values["epoch"] for report in LogTail(log).reports(to_the_end=True)), default=0)
            if printed > delivered.get(trial_id, 0):
                known = delivered.get(trial_id, 0)
                yield f"{status} trial {trial_id} has printed epoch {printed}, and {known} is the last one known"


def replay(recorded: RestlessASHA, fresh: RestlessASHA) -> Iterator[str]:
    """Differences between a scheduler and another one that receives the same calls, with recomputed reports."""
    trials: dict[int, Trial] = {}
    trainings: dict[int, Iterator[tuple[int, tuple[str, float]]]] = {}
    last: dict[int, dict[str, Any]] = {}
    for number, call in enumerate(list(recorded.calls)):
        if call.what == "suggest":
            fresh.suggest()
        else:
            assert call.trial_id is not None
            trial_id = call.trial_id
            if call.what == "add":
                trials[trial_id] = Trial(trial_id, call.answer, datetime.now())
                trainings[trial_id] = enumerate(training(call.answer["x"]), start=1)
                fresh.on_trial_add(trials[trial_id])
            elif call.what == "result":
                epoch, (_, loss) = next(trainings[trial_id])
                last[trial_id] = {"epoch": epoch, "loss": loss}
                fresh.on_trial_result(trials[trial_id], last[trial_id])
            elif call.what == "complete":
                fresh.on_trial_complete(trials[trial_id], last[trial_id])
            elif call.what == "remove":
                fresh.on_trial_remove(trials[trial_id])
            else:
                fresh.on_trial_error(trials[trial_id])
        if fresh.calls[-1] != call:
            yield f"call {number} was {call}, but is {fresh.calls[-1]} in the replay"
            return
    # The facts that a backend shows about itself are not in the recorded calls.
    fresh._workers = recorded._workers
    if plain(recorded) != plain(fresh):
        yield "the scheduler is not in the state to which the replay leads"


def plain(value: Any, seen: dict[int, tuple[int, Any]] | None = None) -> Any:
    """The content of an object as plain values that can be compared, without the reports in it.

    Parameters
    ----------
    value
        The object.
    seen
        Objects seen before, by identity, with their numbers. They are not expanded again, and are kept alive so that no
        other object gets their identity.
    """
    seen = {} if seen is None else seen
    if isinstance(value, np.random.RandomState):
        value = value.get_state(legacy=True)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (dict, list, tuple, set, frozenset, deque)) or _has_attributes(value):
        if id(value) in seen:
            return f"number {seen[id(value)][0]}"
        seen[id(value)] = len(seen), value
    if isinstance(value, dict):
        return [(plain(key, seen), plain(entry, seen)) for key, entry in value.items() if key not in _LEFT_OUT]
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return [plain(entry, seen) for entry in value]
    if _has_attributes(value):
        return [type(value).__name__, plain(vars(value), seen)]
    return value


#: Attributes that hold whole reports, with their times.
_LEFT_OUT = ("result", "calls")


def _has_attributes(value: Any) -> bool:
    return hasattr(value, "__dict__") and not isinstance(value, type)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=int, default=2000, help="length of the run (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--pause_s", type=float, default=0.4, help="mean time between two faults (default: %(default)s)"
    )
    args = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # without hundreds of warnings about the injected faults
    outcomes = []
    for name, pause_s in (("without faults", None), ("with faults", args.pause_s)):
        with tempfile.TemporaryDirectory() as folder:
            outcome = run(args.reports, args.seed, pause_s, Path(folder))
        outcomes.append(outcome)
        print(f"{name}: {outcome.wall_s:.1f} s, {outcome.num_launches} launches, {outcome.num_reports} reports")
        print(f"  launches ended: {', '.join(f'{how} {count}' for how, count in sorted(outcome.ends.items()))}")
        if outcome.faults:
            print(f"  faults: {', '.join(f'{fault} {count}' for fault, count in sorted(outcome.faults.items()))}")
            print(f"  {outcome.num_retries} retries, {outcome.num_failed} trials failed")
        for what in outcome.wrong:
            print(f"  WRONG: {what}")
    ratio = outcomes[1].wall_s / outcomes[0].wall_s
    print(f"wall time with faults: {ratio:.2f} times that without")
    return int(any(outcome.wrong for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
