"""HyperSched tunes a small neural network on two Ray nodes of this machine; one node is killed in the middle.

The demo needs no root and no other machine. The trials of the killed node continue from their checkpoints on the other
node, and the scheduler plans with the remaining devices. The last lines of the output give the cost of the loss.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from pathlib import Path

import psutil
from digits_search_space import CONFIG_SPACE, ENTRY_POINT, MAX_EPOCHS, METRIC, TIME_ATTR, make_parser, parse_args
from ray.cluster_utils import Cluster
from syne_tune import Tuner
from syne_tune.results_callback import StoreResultsCallback

from syne_hypersched import Deadline, ElasticRayBackend, HyperSched
from syne_hypersched.experiments import LiveProgress, QuietTunerLogger, load_run
from syne_hypersched.experiments.report import report_run

SLOTS = 2
NODE = {"num_cpus": 0, "num_gpus": 0, "object_store_memory": 80_000_000}


def kill(node: object) -> None:
    """Ends all processes of a node at once, like a machine that loses power."""
    for info in node.all_processes.values():  # type: ignore[attr-defined]
        for root in info:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(root.process.pid)
                for each in (*process.children(recursive=True), process):
                    with contextlib.suppress(psutil.Error):
                        each.kill()


def say_cost(path: Path) -> None:
    """Prints the cost of the loss of a node, as recorded in the events."""
    run = load_run(path)
    losses = [event for event in run.events if event.event == "lose"]
    if not losses:
        print("No node was lost before the end.")
        return
    lost_s = losses[0].time_s
    ends = [e for e in run.events if e.event == "exit" and e.details.get("how") == "lost" and e.time_s >= lost_s]
    what = "1 launch" if len(ends) == 1 else f"{len(ends)} launches"
    print(f"\nNode lost at {lost_s:.1f} s: {len(losses[0].devices)} of {2 * SLOTS} devices, {what}.")
    for end in ends:
        before = [r for r in run.reports if r.trial_id == end.trial_id and r.time_s <= lost_s]
        after = [r for r in run.reports if r.trial_id == end.trial_id and r.time_s > end.time_s]
        pause = f"reported again {after[0].time_s - lost_s:.1f} s later" if after else "did not go on"
        print(f"  trial {end.trial_id}: {len(before)} reports before, none lost; {pause}")
    print(f"The trials shared {losses[0].details.get('present')} devices from then on.")


def main() -> None:
    args = parse_args(make_parser(__doc__))
    logging.getLogger().setLevel(logging.WARNING)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Otherwise Ray gives agents and trials a low priority. Here they share the machine with the tuner.
    os.environ.setdefault("RAY_worker_niceness", "0")
    print("Starting a Ray cluster of two nodes on this machine, which takes some seconds.", flush=True)
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    nodes = [cluster.add_node(**NODE, resources={"slot": SLOTS}) for _ in range(2)]
    try:
        backend = ElasticRayBackend(
            ENTRY_POINT, 2 * SLOTS, address=cluster.address, devices_of="slot", lease_s=5.0, grace_s=2.0, insecure=True
        )
        scheduler = HyperSched(
            CONFIG_SPACE,
            metric=METRIC,
            time_attr=TIME_ATTR,
            max_t=MAX_EPOCHS,
            num_devices=2 * SLOTS,
            deadline_s=args.deadline,
            do_minimize=False,
            grace_period=2,
            strategy="published",
            random_seed=args.seed,
        )
        tuner = Tuner(
            trial_backend=backend,
            scheduler=scheduler,
            stop_criterion=Deadline(args.deadline, trial_backend=backend),
            n_workers=2 * SLOTS,
            sleep_time=0.05,
            tuner_name="hypersched-cluster",
            callbacks=[StoreResultsCallback(), LiveProgress()],
            output_logger=QuietTunerLogger(),
        )
        timer = threading.Timer(args.deadline / 2, kill, (nodes[1],))
        timer.daemon = True
        timer.start()
        tuner.run()
        print()
        print(report_run(tuner.tuner_path))
        say_cost(Path(tuner.tuner_path))
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
