"""Cost of the tuner's ``sleep_time``: the same tuning with Syne Tune's default, with a short sleep, and by reports.

Trials train epochs of 0.05 s on two CPU slots. An epoch is "in vain" if the scheduler never received its report: it was
trained after the report at which the trial was stopped, or paused and never resumed, or it was reported too late.

    python benchmarking/speed/sleep_time.py [--seconds 20] [--scheduler hypersched] [--output FILE.json]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from syne_tune import Tuner
from syne_tune.config_space import uniform

from syne_hypersched import ASHA, PASHA, Deadline, ElasticLocalBackend, HyperSched, WaitForReports
from syne_hypersched.experiments import QuietTunerLogger, load_run

SCRIPT = """
import argparse, json, os, time
from pathlib import Path
from syne_tune import Reporter

parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--st_checkpoint_dir", type=Path)
args = parser.parse_args()
path = args.st_checkpoint_dir / "epoch.json"
done = json.loads(path.read_text()) if path.exists() else 0
report = Reporter()
for epoch in range(done + 1, 82):
    time.sleep(0.05)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".new").write_text(json.dumps(epoch))
    os.replace(path.with_suffix(".new"), path)
    report(epoch=epoch, loss=args.x + 1 / epoch)
"""
SCHEDULERS = ("hypersched", "hypersched-published", "asha", "asha-promotion", "pasha")


def make_scheduler(name: str, seconds: float) -> Any:
    """A scheduler for two devices and the given seconds."""
    arguments = ({"x": uniform(0, 1)}, "loss", "epoch", 81)
    name, _, kind = name.partition("-")
    if name == "hypersched":
        return HyperSched(*arguments, 2, seconds, strategy=kind or "adaptive", random_seed=1)
    return {"asha": ASHA, "pasha": PASHA}[name](*arguments, random_seed=1, **({"type": kind} if kind else {}))


def tune(folder: Path, scheduler: Any, seconds: float, sleep_time: float, waits: bool) -> dict[str, float]:
    """Runs one tuning and returns its results."""
    script = folder / "train.py"
    script.write_text(SCRIPT)
    backend = ElasticLocalBackend(script, num_devices=2, device_type="cpu", grace_s=1.0)
    tuner = Tuner(
        backend, scheduler, Deadline(seconds, backend), n_workers=2, sleep_time=sleep_time, save_tuner=False,
        callbacks=[WaitForReports()] if waits else None, output_logger=QuietTunerLogger(),
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        tuner.run()
    run = load_run(tuner.tuner_path, time_attr="epoch")
    looked_at = {(report.trial_id, report.resource) for report in run.reports}
    trained = [json.loads(path.read_text()) for path in Path(backend.local_path).glob("*/checkpoints/epoch.json")]
    return {
        "trials": float(len({trial_id for trial_id, _ in looked_at})),
        "epochs": float(sum(trained)),
        "in_vain": 1 - len(looked_at) / max(1, sum(trained)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--scheduler", choices=SCHEDULERS, default="hypersched")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    settings = {
        "sleep_time=5": (5.0, False),
        "sleep_time=5, WaitForReports()": (5.0, True),
        "sleep_time=0.1": (0.1, False),
    }
    rows = {}
    for label, (sleep_time, waits) in settings.items():
        with tempfile.TemporaryDirectory() as name:
            os.environ["SYNETUNE_FOLDER"] = name
            scheduler = make_scheduler(arguments.scheduler, arguments.seconds)
            rows[label] = tune(Path(name), scheduler, arguments.seconds, sleep_time, waits)
    print(f"{arguments.scheduler}, {arguments.seconds:g} s on two devices")
    print(f"{'':<32}{'trials':>8}{'epochs trained':>16}{'in vain':>9}")
    for label, row in rows.items():
        print(f"{label:<32}{row['trials']:>8.0f}{row['epochs']:>16.0f}{row['in_vain']:>9.0%}")
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
