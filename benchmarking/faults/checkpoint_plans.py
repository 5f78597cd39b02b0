"""What is tried by ``best_checkpoint.py``: plans of short experiments, drawn at random, and their tuners."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import uniform
from syne_tune.optimizer.baselines import RandomSearch
from syne_tune.optimizer.scheduler import SchedulerDecision

from benchmarking.faults import checkpoint_script as script
from benchmarking.faults.checkpoint_writers import HEAVY, REMOVED_FIRST, WRITERS
from syne_hypersched import ASHA, PASHA, Deadline, ElasticLocalBackend, ElasticPythonBackend, HyperSched, Journal
from syne_hypersched.contract import is_elastic

SCRIPT = Path(script.__file__)
METRIC, TIME_ATTR = "loss", "epoch"
TUNER_NAME = "experiment"
PLAN_FILENAME = "plan.json"
SCHEDULERS = ("asha-stopping", "asha-promotion", "pasha", "hypersched", "hypersched-published", "random")
KB, MB = 1 << 10, 1 << 20
#: Kinds of kills, and how often each is drawn.
KILLS = {"rank": 2, "writing rank": 3, "tuner": 2}


@dataclass(frozen=True)
class Plan:
    """One experiment."""

    index: int
    seed: int
    backend: str
    """``"local"`` or ``"function"``."""
    launch: str
    processes: str
    scheduler: str
    num_devices: int
    n_workers: int
    resize_every: int
    """One report in so many has its trial resized; 0: none."""
    sleep_time: float
    duration_s: float
    has_deadline: bool
    grace_s: float
    has_journal: bool
    delete_checkpoints: bool
    order: str
    writer: str
    size: int
    num_pauses: int
    pause_s: float
    epoch_s: float
    lag_s: float
    """Seconds between report and save, or save and report."""
    max_t: int
    peak: int
    on_sigterm: str
    """``"die"``, ``"defer"`` (until save and report are done) or ``"leave"`` (at the end of the epoch)."""
    exit_code: int
    kills: tuple[tuple[float, str], ...]
    """Seconds after the first launch, and what is killed then."""
    max_reports: int | None = None
    """It ends after so many reports, if not before."""

    @property
    def what(self) -> str:
        """The plan in a few words."""
        kills = "".join(f", kills {what} at {at_s:.1f}" for at_s, what in self.kills)
        return (
            f"{self.backend} {self.launch} {self.scheduler} on {self.num_devices}, {self.order!r}, {self.writer} "
            f"{_bytes(self.size)}, epochs {self.epoch_s * 1e3:.0f} ms, lag {self.lag_s * 1e3:.0f} ms, "
            f"sleep {self.sleep_time:g} s, "
            f"SIGTERM {self.on_sigterm}{kills}"
        )


def draw(seed: int, index: int) -> Plan:
    """Plan ``index`` of those that belong to a seed."""
    r = random.Random(f"{seed}/{index}")
    # In turn, so that each pair comes up about as often as the others in any number of plans.
    order = script.ORDERS[index % len(script.ORDERS)]
    writer = _deal(seed, index)
    # While such a thread saves and the script reports, nothing shows that a file is missing (docs/checkpoints.md).
    has_thread = order in (script.THREAD, script.REPORT_THEN_THREAD)
    if (writer in HEAVY and r.random() < 0.5) or (writer in REMOVED_FIRST and has_thread):
        writer = r.choice([name for name in WRITERS if name not in HEAVY and name not in REMOVED_FIRST])
    size = _draw_size(r, WRITERS[writer].keeps_all)
    launch = "warm" if writer in HEAVY else r.choice(("warm", "warm", "cold"))
    num_devices = r.randint(2, 4)
    sleep_time = r.choices((0.1, 0.5, 1.0, 5.0), (4, 2, 2, 1))[0]
    large = size > 20 * MB
    epoch_s = r.uniform(0.1, 0.2) if large else 10 ** r.uniform(-2, -0.7)
    scheduler = r.choice(SCHEDULERS)
    duration_s = {0.1: 4.0, 0.5: 4.5, 1.0: 5.5, 5.0: 11.0}[sleep_time] + r.uniform(0, 2) + 3 * (writer in HEAVY)
    num_pauses = 0 if writer in HEAVY or large else r.choice((0, 0, 1, 3, 6))
    on_sigterm = r.choice(("die", "die", "defer", "leave"))
    kills = tuple(
        sorted(
            (r.uniform(0.5, duration_s - 1.0), what)
            for what in r.choices(list(KILLS), list(KILLS.values()), k=r.choice((0, 0, 1, 1, 2, 4)))
        )
    )
    return Plan(
        index=index,
        seed=r.randrange(1 << 30),
        backend=r.choice(("local", "local", "function")),
        launch=launch,
        processes=r.choice(("single", "per_device")),
        scheduler=scheduler,
        num_devices=num_devices,
        n_workers=2 if large else num_devices,
        resize_every=0 if scheduler == "random" else r.choice((0, 3, 7, 15)),
        sleep_time=sleep_time,
        duration_s=round(duration_s, 2),
        has_deadline=scheduler.startswith("hypersched") or r.random() < 0.5,
        grace_s=r.choice((0.3, 1.0, 5.0)),
        has_journal=any(what == "tuner" for _, what in kills) or r.random() < 0.3,
        delete_checkpoints=r.random() < 0.2,
        order=order,
        writer=writer,
        size=size,
        num_pauses=num_pauses,
        pause_s=round(r.uniform(0.2, 1.0) * epoch_s / num_pauses, 4) if num_pauses else 0.0,
        epoch_s=round(epoch_s, 4),
        lag_s=round(r.choice((0.0, 0.0, 0.0, 0.5, 2.0)) * epoch_s, 4),
        max_t=r.choice((9, 27, 27, 81)),
        peak=r.choice((0, 3, 3, 4, 6, 10)),
        on_sigterm=on_sigterm,
        exit_code=r.choice((0, 75, 143)),
        kills=tuple((round(at_s, 2), what) for at_s, what in kills),
    )


def _deal(seed: int, index: int) -> str:
    """A writer; each comes up once in as many plans as there are writers."""
    number, place = divmod(index, len(WRITERS))
    return random.Random(f"{seed}/writers/{number}").sample(list(WRITERS), len(WRITERS))[place]


def _draw_size(r: random.Random, keeps_all: bool) -> int:
    ranges = ((KB, 100 * KB), (100 * KB, 3 * MB), (3 * MB, 30 * MB), (50 * MB, 200 * MB))
    least, most = r.choices(ranges, (55, 30, 10, 4))[0]
    size = int(least * (most / least) ** r.random())
    return min(size, MB) if keeps_all else size


def _bytes(size: int) -> str:
    return f"{size / MB:.0f} MB" if size >= MB else f"{size / KB:.0f} kB"


def write_plan(plan: Plan, folder: Path) -> Path:
    """Where scripts read the plan, and write their diaries."""
    diaries = folder / "diaries"
    diaries.mkdir(exist_ok=True)
    path = folder / PLAN_FILENAME
    path.write_text(json.dumps({**asdict(plan), "diaries": str(diaries)}))
    return path


class Restless:
    """Has trials resized at reports that follow from the seed alone, so that a replay decides the same."""

    resize_every: int
    num_devices_at_most: int

    def on_trial_result(self, trial: Trial, result: dict[str, Any]) -> str:
        decision: str = super().on_trial_result(trial=trial, result=result)  # type: ignore[misc]
        if self.resize_every and decision == SchedulerDecision.CONTINUE and is_elastic(trial):
            r = random.Random(f"{trial.trial_id}/{result[TIME_ATTR]}/{self.resize_every}")
            if r.randrange(self.resize_every) == 0:
                trial.resize(r.randint(1, self.num_devices_at_most))
        return decision


class RestlessASHA(Restless, ASHA):
    pass


class RestlessPASHA(Restless, PASHA):
    pass


class RestlessHyperSched(Restless, HyperSched):
    pass


def make_tuner(plan: Plan, folder: Path) -> Tuner:
    """A tuner that has not run yet; the same arguments give the same tuner."""
    space = {"x": uniform(0, 1), "plan": str(folder / PLAN_FILENAME)}
    options: dict[str, Any] = {
        "device_type": "cpu",
        "launch": plan.launch,
        "processes": plan.processes,
        "grace_s": plan.grace_s,
        "retry_backoff_s": 0.05,
        "time_attr": TIME_ATTR,
        "min_free_mb": 1.0,
        "delete_checkpoints": plan.delete_checkpoints,
    }
    if plan.launch == "warm":
        options["preload"] = ("torch", "syne_tune.utils") if plan.writer in HEAVY else ()
    if plan.backend == "local":
        backend = ElasticLocalBackend(SCRIPT, plan.num_devices, **options)
    else:
        backend = ElasticPythonBackend(script.train, space, plan.num_devices, **options)
    stop = (
        Deadline(plan.duration_s, backend)
        if plan.has_deadline
        else StoppingCriterion(max_wallclock_time=plan.duration_s, max_num_evaluations=plan.max_reports)
    )
    return Tuner(
        backend, _make_scheduler(plan, space), stop, n_workers=plan.n_workers, sleep_time=plan.sleep_time,
        results_update_interval=1, print_update_interval=1e9, max_failures=10_000, tuner_name=TUNER_NAME,
        suffix_tuner_name=False, save_tuner=False, callbacks=[Journal()] if plan.has_journal else None,
    )  # fmt: skip


def _make_scheduler(plan: Plan, space: dict[str, Any]) -> Any:
    common: dict[str, Any] = {
        "metric": METRIC,
        "time_attr": TIME_ATTR,
        "max_t": plan.max_t,
        "random_seed": plan.seed,
    }
    if plan.scheduler == "random":
        return RandomSearch(space, metrics=[METRIC], do_minimize=True, random_seed=plan.seed)
    if plan.scheduler.startswith("asha"):
        scheduler = RestlessASHA(space, type=plan.scheduler.removeprefix("asha-"), **common)
    elif plan.scheduler == "pasha":
        scheduler = RestlessPASHA(space, **common)
    else:
        strategy = "published" if plan.scheduler.endswith("published") else "adaptive"
        scheduler = RestlessHyperSched(
            space, num_devices=plan.num_devices, deadline_s=plan.duration_s, strategy=strategy, **common
        )
    scheduler.resize_every = plan.resize_every
    # With more than one worker a trial that wants all devices would only wait for the others.
    scheduler.num_devices_at_most = 2
    return scheduler
