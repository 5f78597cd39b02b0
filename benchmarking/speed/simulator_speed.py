"""Microseconds per simulated result: simulate(), ElasticSimulatorBackend under the tuner, and Syne Tune's simulator.

    python benchmarking/speed/simulator_speed.py
    python benchmarking/speed/simulator_speed.py --results 20000

ASHA by stopping (max_t 81, 8 workers) on one invented table of 1,000 configurations and 81 epochs; also on 1,024
devices, and HyperSched on 8. Syne Tune's simulator reads the table as a blackbox of this package and as one of its own.
Every run is executed twice with the same seed: the hashes of its results, as CSV, and of its events show whether both
runs were equal. Times are CPU times of this process, so that other work of the machine does not count.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import logging
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend.simulator_backend.simulator_callback import SimulatorCallback
from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular
from syne_tune.blackbox_repository.simulated_tabular_backend import UserBlackboxBackend
from syne_tune.config_space import choice, loguniform, randint, uniform
from syne_tune.results_callback import StoreResultsCallback

from syne_hypersched import ASHA, ElasticSimulatorBackend, HyperSched, simulate
from syne_hypersched.blackboxes import TableBlackbox
from syne_hypersched.experiments import QuietTunerLogger

NUM_WORKERS = 8
MANY_DEVICES = 1024
MAX_T = 81
SPACE = {"learning_rate": loguniform(1e-4, 1.0), "momentum": uniform(0.0, 0.99), "width": choice([16, 32, 64, 128])}


@dataclass(frozen=True)
class SimulatorTiming:
    """One run."""

    seconds: float
    num_results: int
    results_hash: str
    events_hash: str


def make_table(num_configurations: int) -> TableBlackbox:
    """Learning curves that fall as a power of the epoch, with noise; epochs of 10 to 60 s."""
    random_state = np.random.RandomState(0)
    configurations = [
        {name: domain.sample(random_state=random_state) for name, domain in SPACE.items()}
        for _ in range(num_configurations)
    ]
    shape = (num_configurations, 1)
    floor, power = random_state.uniform(0.05, 0.5, shape), random_state.uniform(0.3, 1.0, shape)
    losses = floor + np.arange(1, MAX_T + 1) ** -power + random_state.normal(0.0, 0.01, (num_configurations, MAX_T))
    elapsed_s = np.cumsum(random_state.uniform(10, 60, shape) * random_state.uniform(0.95, 1.05, losses.shape), axis=1)
    return TableBlackbox(configurations, {"loss": losses}, elapsed_s, configuration_space=SPACE, lookup="exact")


def make_scheduler(
    table: TableBlackbox, num_results: int, kind: type[ASHA | HyperSched] = ASHA, **options: float
) -> ASHA | HyperSched:
    """A scheduler on the rows of the table, shuffled, and repeated as often as a run can need them."""
    order = np.random.RandomState(1).randint(len(table), size=num_results)
    points = [table.configurations[row] for row in order]
    return kind(
        SPACE, "loss", "epoch", max_t=MAX_T, searcher="random_search", points_to_evaluate=points, random_seed=0,
        **options,
    )  # fmt: skip


def run_simulate(
    table: TableBlackbox, num_results: int, folder: Path, write_events: bool = False, num_devices: int = NUM_WORKERS
) -> SimulatorTiming:
    scheduler = make_scheduler(table, num_results)
    events_path = folder / "events.jsonl" if write_events else None
    started = time.process_time()
    simulation = simulate(
        scheduler, table, num_devices=num_devices, max_num_results=num_results, events_path=events_path
    )
    seconds = time.process_time() - started
    return SimulatorTiming(seconds, simulation.num_results, hash_results(simulation.results), hash_file(events_path))


def run_hypersched(table: TableBlackbox, num_results: int, folder: Path) -> SimulatorTiming:
    """With a deadline that the devices need for these results, had none of them more than one trial to train."""
    deadline_s = num_results / NUM_WORKERS * table.full_run_s() / MAX_T
    scheduler = make_scheduler(table, num_results, HyperSched, num_devices=NUM_WORKERS, deadline_s=deadline_s)
    started = time.process_time()
    simulation = simulate(scheduler, table, num_devices=NUM_WORKERS, deadline_s=deadline_s)
    seconds = time.process_time() - started
    return SimulatorTiming(seconds, simulation.num_results, hash_results(simulation.results), "-")


def run_elastic_backend(table: TableBlackbox, num_results: int, folder: Path) -> SimulatorTiming:
    backend = ElasticSimulatorBackend(table, table.elapsed_time_attr, num_devices=NUM_WORKERS)
    callback = StoreResultsCallback()
    return run_tuner(table, num_results, backend, callback)


def run_syne_tune(table: TableBlackbox, num_results: int, folder: Path, own_blackbox: bool) -> SimulatorTiming:
    blackbox = as_syne_tune(table) if own_blackbox else table
    backend = UserBlackboxBackend(blackbox, table.elapsed_time_attr, seed=0)
    return run_tuner(table, num_results, backend, SimulatorCallback())


def as_syne_tune(table: TableBlackbox) -> BlackboxTabular:
    """The same table as a blackbox of Syne Tune's."""
    return BlackboxTabular(
        hyperparameters=pd.DataFrame(table.configurations),
        configuration_space=table.configuration_space,
        fidelity_space={table.time_attr: randint(1, MAX_T)},
        objectives_evaluations=np.stack([table.objective_function(row) for row in table.configurations])[:, None],
        objectives_names=table.objectives_names,
    )


def run_tuner(
    table: TableBlackbox, num_results: int, backend: object, callback: StoreResultsCallback
) -> SimulatorTiming:
    """The stock tuner on either backend."""
    tuner = Tuner(
        backend, make_scheduler(table, num_results), StoppingCriterion(max_num_evaluations=num_results), NUM_WORKERS,
        sleep_time=0, save_tuner=False, callbacks=[callback], output_logger=QuietTunerLogger(),
    )  # fmt: skip
    started = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        tuner.run()
    seconds = time.process_time() - started
    results = callback.dataframe()
    return SimulatorTiming(seconds, len(results), hash_results(results), hash_file(tuner.tuner_path / "events.jsonl"))


def hash_results(results: pd.DataFrame) -> str:
    """Hash of the results as the tuner stores them."""
    return hashlib.sha256(results.to_csv(index=False).encode()).hexdigest()[:12]


def hash_file(path: Path | None) -> str:
    """Hash of a file; a dash if there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path is not None and path.is_file() else "-"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=int, default=20_000, help="results of a run without a tuner; others a fourth")
    num_results = parser.parse_args().results
    logging.getLogger().setLevel(logging.ERROR)
    table = make_table(1_000)
    ways: dict[str, tuple[Callable[[Path], SimulatorTiming], int]] = {
        "simulate": (lambda folder: run_simulate(table, num_results, folder), 3),
        "simulate, with events": (lambda folder: run_simulate(table, num_results, folder, write_events=True), 2),
        "simulate, 1,024 devices": (
            lambda folder: run_simulate(table, num_results, folder, num_devices=MANY_DEVICES),
            3,
        ),
        "simulate, HyperSched": (lambda folder: run_hypersched(table, num_results, folder), 3),
        "tuner, ElasticSimulatorBackend": (lambda folder: run_elastic_backend(table, num_results // 4, folder), 2),
        "tuner, Syne Tune's simulator": (lambda folder: run_syne_tune(table, num_results // 4, folder, False), 2),
        "... with its own blackbox": (lambda folder: run_syne_tune(table, num_results // 4, folder, True), 2),
    }
    print(f"{'':32}{'results':>9}{'us a result':>13}  same results, events of two runs")
    for name, (run, repeats) in ways.items():
        measured = []
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as folder:
                os.environ["SYNETUNE_FOLDER"] = folder
                measured.append(run(Path(folder)))
        cost_us = min(1e6 * each.seconds / each.num_results for each in measured)
        hashes = [sorted({getattr(each, what) for each in measured}) for what in ("results_hash", "events_hash")]
        verdict = "yes" if all(len(found) == 1 for found in hashes) else "NO"
        shown = " ".join("/".join(found) for found in hashes)
        print(f"{name:32}{measured[0].num_results:>9,}{cost_us:>13.1f}  {verdict:<4} {shown}")


if __name__ == "__main__":
    main()
