"""Studies that have a name: the default comparison, and the studies of the HyperSched authors."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

from syne_hypersched.comparison.names import unknown_name
from syne_hypersched.comparison.settings import Duration, Scenario, Study, TableFile

#: ASHA as an expert would set it up. The best setting depends on the curves and the deadline.
ASHA_OPPONENTS = tuple(
    f"{kind}:reduction_factor={eta}:grace_period={grace}"
    for kind in ("asha", "asha-promotion")
    for eta in (3, 4)
    for grace in (1, 2, 3)
)
#: ASHA with the searchers of Syne Tune. With kde it is BOHB, except for the brackets.
MODEL_OPPONENTS = tuple(f"asha+{name}:grace_period=2" for name in ("kde", "bore", "cqr"))

DEFAULT_SCHEDULERS = (
    *("hypersched", "hypersched+joint", "hypersched-published"),
    *("asha", "asha:grace_period=2", "asha-promotion", "asha-promotion:grace_period=2"),
    *("pasha", "i-epoch", "random"),
)

#: The arms of the ablation study, each with one part of HyperSched removed or replaced.
ABLATION_ARMS = (
    "hypersched-published",
    "hypersched-published:speculation=false",
    "hypersched-published:job_limit=false",
    "hypersched-published:fixed_exploration=0.5",
    "hypersched-published:ignore_overhead=true",
    "hypersched-published:scaling=linear",
    "hypersched-published:policy=top_job",
    "hypersched-published:policy=softmax",
    "hypersched-published:policy=random",
    "hypersched-published:policy=none",
    "asha",
)

#: Options that the sensitivity study varies one at a time, in addition to the machine.
SENSITIVE_OPTIONS = {
    "reduction_factor": (2, 3, 8),
    "grace_period": (2, 4, 9),
    "recharge_period": (0, 10, 20),
    "allocation_grid": (2, 4),
}
SENSITIVE_DEVICES = (2, 4, 16, 32)
SENSITIVE_LAUNCH_COSTS = ("0%", "0.2%", "5%", "10%")
SENSITIVE_SCALINGS = ("linear", "resnet152", "imagenet_resnet50", "babi", "none")

#: Real time is expensive: by default one run of each scheduler, for a minute.
LOCAL_DEADLINES = ("60s",)
LOCAL_SEEDS = (0,)

SCALE_DEVICES = (8, 32, 128, 1024)
SCALE_MAX_NUM_TRIALS = 100_000


#: Smallest gains of the study ``pay``, in accuracy per device-hour. The runs use hundredths of a device-hour.
PAYING_GAINS = (0.02, 0.1, 0.3)

#: Pools whose devices come and go: half of them leave for a while, early or late; devices leave for good, or come late;
#: and a night with a quarter of the devices.
POOLS = ("0.2:0.5,0.5:1", "0.6:0.5,0.8:1", "0.5:0.5", "0:0.5,0.5:1", "0.3:0.25,0.6:0.75,0.9:1")


@dataclass(frozen=True)
class Machine:
    """The machines of a study. Every combination is a scenario."""

    benchmarks: Sequence[str]
    num_devices: Sequence[int]
    scalings: Sequence[str | None]
    launch_costs: Sequence[str | None]

    def scenarios(self, schedulers: Sequence[str]) -> tuple[Scenario, ...]:
        """A scenario for each combination."""
        return tuple(
            Scenario(benchmark, devices, tuple(schedulers), scaling, *_parse_launches(cost))
            for benchmark, devices, scaling, cost in product(
                self.benchmarks, self.num_devices, self.scalings, self.launch_costs
            )
        )


def _parse_launches(text: str | None) -> tuple[Duration | None, Duration | None, Duration | None]:
    """Costs of the first launch of a trial, of each later launch, and of joining."""
    if text is None:
        return None, None, None
    launches, slash, join = text.partition("/")
    launch, plus, later = launches.partition("+")
    return Duration.parse(launch), Duration.parse(later) if plus else None, Duration.parse(join) if slash else None


@dataclass(frozen=True)
class Preset:
    """The defaults of a study."""

    description: str
    schedulers: tuple[str, ...]
    reference: str
    benchmark: str = "digits"
    num_devices: tuple[int, ...] = (8,)
    deadlines: tuple[str, ...] = ("0.5x", "1x", "2x")
    num_seeds: int = 10
    max_num_trials: int | None = None
    store_runs: bool = True
    """Whether every run is also stored in Syne Tune's format."""
    make_scenarios: Callable[[Machine, Sequence[str]], tuple[Scenario, ...]] = Machine.scenarios


def _one_at_a_time(machine: Machine, schedulers: Sequence[str]) -> tuple[Scenario, ...]:
    """The base scenario, with each option of HyperSched varied and with each property of the machine varied."""
    base = Machine(machine.benchmarks[:1], machine.num_devices[:1], machine.scalings[:1], machine.launch_costs[:1])
    arms = [f"hypersched-published:{name}={value}" for name, values in SENSITIVE_OPTIONS.items() for value in values]
    neighbours = [
        Machine(base.benchmarks, SENSITIVE_DEVICES, base.scalings, base.launch_costs),
        Machine(base.benchmarks, base.num_devices, base.scalings, SENSITIVE_LAUNCH_COSTS),
        Machine(base.benchmarks, base.num_devices, SENSITIVE_SCALINGS, base.launch_costs),
    ]
    (base_scenario,) = base.scenarios([*dict.fromkeys([*schedulers, *arms])])
    around = [scenario for neighbour in neighbours for scenario in neighbour.scenarios(schedulers)]
    return (base_scenario, *(scenario for scenario in around if scenario.folder != base_scenario.folder))


def _pools(machine: Machine, schedulers: Sequence[str]) -> tuple[Scenario, ...]:
    """Each machine with each of the changing pools."""
    return tuple(replace(scenario, pool=pool) for scenario in machine.scenarios(schedulers) for pool in POOLS)


PRESETS = {
    "default": Preset("the schedulers of this package and random search", DEFAULT_SCHEDULERS, "asha"),
    "opponents": Preset(
        "the strongest rivals: ASHA of all kinds, with model-based searchers, and i-Epoch (some minutes)",
        ("hypersched", "hypersched+joint", *ASHA_OPPONENTS, *MODEL_OPPONENTS, "pasha", "i-epoch", "random"),
        "asha:reduction_factor=3:grace_period=2",
        num_seeds=4,
    ),
    "ablation": Preset(
        "HyperSched without one of its parts at a time, as in the authors' ablation study",
        ABLATION_ARMS,
        "hypersched-published",
    ),
    "sensitivity": Preset(
        "HyperSched's options and the machine varied one at a time, as in the authors' sensitivity study",
        ("hypersched-published", "asha"),
        "asha",
        make_scenarios=_one_at_a_time,
    ),
    "pool": Preset(
        "a changing number of devices: HyperSched, HyperSched that knows the changes beforehand, and ASHA",
        ("hypersched", "hypersched-foreseeing", "asha"),
        "hypersched-foreseeing",
        make_scenarios=_pools,
    ),
    "pay": Preset(
        "HyperSched that ends when a device-hour gains too little: regret, and device-hours used",
        ("hypersched", *(f"hypersched:min_gain={gain:g}" for gain in PAYING_GAINS)),
        "hypersched",
        deadlines=("4x", "8x", "16x"),
    ),
    "scale": Preset(
        "8 to 1,024 devices and up to 100,000 trials: how regret, utilisation and the schedulers' cost grow",
        # Random search would take half of the time, since it trains every trial to the end.
        ("hypersched", "hypersched-published", "asha", "pasha", "asha-promotion"),
        "asha",
        benchmark="nasbench201-synthetic-cifar10",
        num_devices=SCALE_DEVICES,
        deadlines=("0.25x", "4x"),
        num_seeds=2,
        max_num_trials=SCALE_MAX_NUM_TRIALS,
        store_runs=False,
    ),
}


def num_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find_preset(name: str) -> Preset:
    """The preset with a given name.

    Raises
    ------
    ValueError
        There is no such preset.
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]


def make_study(
    preset: str = "default",
    *,
    benchmarks: Sequence[str] | None = None,
    schedulers: Sequence[str] | None = None,
    deadlines: Sequence[str] | None = None,
    num_devices: Sequence[int] | None = None,
    scalings: Sequence[str] | None = None,
    launch_costs: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    reference: str | None = None,
    backend: str = "simulator",
    max_num_trials: int | None = None,
    max_t: int | None = None,
    table: TableFile | None = None,
    script_options: Sequence[tuple[str, str]] = (),
) -> Study:
    """A study: the settings of a preset, replaced by the arguments that are given.

    Parameters
    ----------
    preset
        Name of the preset.
    benchmarks, num_devices, scalings, launch_costs
        Every combination is a scenario. The preset ``"sensitivity"`` varies the first of each. In a launch cost such as
        ``"5%+2%/0.1%"``, the first number is the cost of a trial's first launch. The number after the plus sign is the
        cost of each later launch (default: the same). The number after the slash is the cost of a resize in place
        (default: a resize is a launch).
    schedulers
        Names, such as ``"asha+kde"`` or ``"hypersched:policy=top_job"``.
    deadlines
        Such as ``"1800"``, ``"30m"`` or ``"0.5x"`` (median full runs on one device).
    seeds
        One run for each.
    reference
        The scheduler that the others are compared with. Default: that of the preset, or the first one.
    backend
        ``"simulator"`` or ``"local"``.
    max_num_trials, max_t, table, script_options
        As in :class:`~syne_hypersched.comparison.settings.Study`.

    Raises
    ------
    ValueError
        An argument is unknown or invalid; the message names it.
    """
    chosen = find_preset(preset)
    if not schedulers and table is not None:
        schedulers = _possible(chosen.schedulers, table)
    schedulers = tuple(schedulers or chosen.schedulers)
    local = backend == "local"
    if local and (scalings or launch_costs):
        raise ValueError(
            "scaling and launch cost can be chosen only for the backend 'simulator'; a real machine determines them"
        )
    machine = Machine(
        tuple(benchmarks or (("digits-cnn",) if local else (chosen.benchmark,))),
        tuple(num_devices or ((num_cores(),) if local else chosen.num_devices)),
        (None,) if local else tuple(scalings or ("resnet50",)),
        (None,) if local else tuple(launch_costs or ("1%",)),
    )
    if reference is None:
        reference = chosen.reference if chosen.reference in schedulers else schedulers[0]
    if local:
        deadlines, seeds = deadlines or LOCAL_DEADLINES, LOCAL_SEEDS if seeds is None else seeds
    return Study(
        scenarios=chosen.make_scenarios(machine, schedulers),
        deadlines=tuple(Duration.parse(text) for text in deadlines or chosen.deadlines),
        seeds=tuple(range(chosen.num_seeds)) if seeds is None else tuple(seeds),
        reference=reference,
        preset=preset,
        backend=backend,
        max_num_trials=chosen.max_num_trials if max_num_trials is None else max_num_trials,
        max_t=max_t,
        table=table,
        script_options=tuple(script_options),
    )


def _possible(schedulers: Sequence[str], table: TableFile) -> tuple[str, ...]:
    """The schedulers of a preset, without those that could decide only beyond the last level of a table."""
    from syne_hypersched.comparison.benchmarks import TABLE, load_benchmark
    from syne_hypersched.comparison.schedulers import SchedulerSpec

    max_t = load_benchmark(TABLE, table).problem.max_t
    first_decisions = [dict(SchedulerSpec.parse(name).options).get("grace_period", 0) for name in schedulers]
    return tuple(name for name, first in zip(schedulers, first_decisions, strict=True) if first <= max_t)
