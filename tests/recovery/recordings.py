"""Recorded journals of real experiments, which every later version must be able to replay.

``data/VERSION/NAME/000000.jsonl`` is the journal of the experiment ``NAME`` as ``VERSION`` has written it. To record
the present version, run in the repository root::

    python -m tests.recovery.recordings [NAME ...]

The docs (``docs/resuming.md``, "Between versions") say when that is to be done.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform

import syne_hypersched
from syne_hypersched import ASHA, PASHA, Deadline, ElasticLocalBackend, HyperSched, Journal
from tests.schedulers.families import Listed

DATA = Path(__file__).with_name("data")

#: In those that are exhausted the searcher has no further configuration; of its trials one fails, and others complete.
NAMES = (
    "hypersched-adaptive", "hypersched-published", "hypersched-exhausted", "asha-stopping", "asha-promotion",
    "asha-exhausted", "pasha",
)  # fmt: skip

NUM_DEVICES = 4
DEADLINE_S = 12.0
#: The only configurations of an exhausted experiment, and the one that fails.
VALUES = [0.125, 0.25, 0.5, 0.625, 0.75, 0.875]
FAILS = 0.5

_SCRIPT = """
import argparse, json, os, time
from pathlib import Path
from syne_tune import Reporter

parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--epochs", type=int)
parser.add_argument("--st_checkpoint_dir", type=Path)
args = parser.parse_args()
checkpoint = args.st_checkpoint_dir / "epoch.json"
done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
report = Reporter()
for epoch in range(done + 1, args.epochs + 1):
    if args.x == FAILS and epoch == 3:
        raise SystemExit("this configuration fails")
    time.sleep(0.25 / int(os.environ.get("WORLD_SIZE", 1)))
    if os.environ.get("RANK", "0") == "0":
        report(epoch=epoch, loss=round(args.x + (1 - args.x) / epoch, 4))
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.with_suffix(".new").write_text(json.dumps(epoch))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)
"""


def make_tuner(name: str, folder: Path) -> Tuner:
    """The tuner of a recorded experiment, not yet run, with its training script in ``folder``."""
    script = folder / "train.py"
    script.write_text(_SCRIPT.replace("FAILS", str(FAILS)))
    backend = ElasticLocalBackend(script, NUM_DEVICES, device_type="cpu", grace_s=1.0, retries=0)
    kind, _, variant = name.partition("-")
    stop = StoppingCriterion(max_num_trials_finished=5)
    space = {"x": uniform(0, 1), "epochs": 9}
    if variant == "exhausted":
        # Trials end by themselves before the highest level.
        space["epochs"], stop = 6, StoppingCriterion(max_num_evaluations=1000)
        points = [{"x": value} for value in VALUES]
        arguments = {"max_t": 9, "random_seed": 7, "points_to_evaluate": points, "searcher": Listed([])}
        if kind == "asha":
            scheduler = ASHA(space, "loss", "epoch", type="promotion", **arguments)
        else:
            scheduler = HyperSched(space, "loss", "epoch", num_devices=NUM_DEVICES, deadline_s=600.0, **arguments)
    elif kind == "hypersched":
        space["epochs"] = 81
        scheduler = HyperSched(
            space, "loss", "epoch", max_t=81, num_devices=NUM_DEVICES, deadline_s=DEADLINE_S, grace_period=2,
            strategy=variant, scaling={1: 1.0, 2: 2.0, 4: 4.0}, random_seed=7, searcher="random_search",
        )  # fmt: skip
        stop = Deadline(DEADLINE_S, backend)
    elif kind == "asha":
        scheduler = ASHA(space, "loss", "epoch", max_t=9, type=variant, random_seed=7)
    else:
        scheduler = PASHA(space, "loss", "epoch", max_t=9, random_seed=7)
        stop = StoppingCriterion(max_num_trials_started=16)
    return Tuner(
        backend, scheduler, stop, n_workers=NUM_DEVICES, sleep_time=0.01, tuner_name=name, suffix_tuner_name=False,
        max_failures=len(VALUES), callbacks=[Journal()],
    )  # fmt: skip


def recorded() -> list[Path]:
    """The folders of all recordings."""
    return sorted(path.parent for path in DATA.glob("*/*/000000.jsonl"))


def record(name: str, target: Path) -> None:
    """Runs an experiment, and keeps its journal in the folder ``target``."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SYNETUNE_FOLDER"] = folder
        tuner = make_tuner(name, Path(folder))
        tuner.run()
        header, *lines = (tuner.tuner_path / "journal" / "000000.jsonl").read_text().splitlines(keepends=True)
        # What names the machine and the process says nothing elsewhere.
        known = json.loads(header) | {"pid": 0, "boot_s": None, "boot_id": None}
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        (target / "000000.jsonl").write_text(json.dumps(known, separators=(",", ":")) + "\n" + "".join(lines))


def main() -> None:
    """Records all experiments with the present version, or those that are named."""
    for name in sys.argv[1:] or NAMES:
        target = DATA / syne_hypersched.__version__ / name
        record(name, target)
        size = (target / "000000.jsonl").stat().st_size
        print(f"{target}: {size / 1000:.0f} kB", file=sys.stderr)


if __name__ == "__main__":
    main()
