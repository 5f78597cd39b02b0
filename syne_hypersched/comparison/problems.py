"""The problem of a scenario: a table of learning curves, or a training script."""

from __future__ import annotations

from dataclasses import dataclass

from syne_hypersched.comparison.reading import RegretScale
from syne_hypersched.comparison.schedulers import Problem
from syne_hypersched.comparison.settings import Duration, Scenario, Study


@dataclass(frozen=True)
class Goal:
    """The optimisation goal of a scenario."""

    title: str
    """Title of the benchmark."""
    metric: str
    do_minimize: bool
    time_attr: str
    full_run_s: float | None
    """Seconds of a median full run on one device; None if unknown."""


def find_goal(study: Study, scenario: Scenario) -> Goal:
    """The optimisation goal of a scenario; loads its table.

    Raises
    ------
    ValueError
        The benchmark is unknown.
    """
    if study.backend == "local":
        from syne_hypersched.comparison.scripts import find_script

        script = find_script(scenario.benchmark)
        return Goal(script.name, script.metric, script.do_minimize, script.time_attr, None)
    from syne_hypersched.comparison.benchmarks import load_benchmark

    benchmark = load_benchmark(scenario.benchmark, study.table)
    return Goal(
        benchmark.title, benchmark.metric, benchmark.do_minimize, benchmark.table.time_attr, benchmark.full_run_s
    )


def find_problem(study: Study, scenario: Scenario) -> Problem:
    """The problem that the schedulers of a scenario receive.

    Raises
    ------
    ValueError
        The benchmark or an option of the script is unknown.
    """
    if study.backend == "local":
        from syne_hypersched.comparison.scripts import find_script

        return find_script(scenario.benchmark).problem(study.script_options, study.max_t)
    from syne_hypersched.comparison.benchmarks import load_benchmark

    return load_benchmark(scenario.benchmark, study.table).problem


def sorted_deadlines(study: Study, scenario: Scenario) -> tuple[Duration, ...]:
    """The deadlines of a study, the shortest one first.

    Raises
    ------
    ValueError
        A deadline is relative to a full run of unknown length.
    """
    full_run_s = find_goal(study, scenario).full_run_s
    return tuple(sorted(study.deadlines, key=lambda deadline: deadline.in_seconds(full_run_s)))


def find_scale(study: Study, scenario: Scenario, seed: int) -> RegretScale | None:
    """The scale of regret of a scenario and a seed; None if there is no table.

    Raises
    ------
    ValueError
        The benchmark is unknown.
    """
    if study.backend == "local":
        return None
    from syne_hypersched.comparison.benchmarks import load_benchmark

    return load_benchmark(scenario.benchmark, study.table).regret_scale(seed)
