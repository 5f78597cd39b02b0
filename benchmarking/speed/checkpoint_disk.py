"""Disk space of checkpoints while real trials are tuned, with and without ``delete_checkpoints``.

    python benchmarking/speed/checkpoint_disk.py                   # about four minutes on two cores
    python benchmarking/speed/checkpoint_disk.py --seconds 60 --output FILE.json

Each trial is a process that replaces its checkpoint of 1 MB after each epoch. The first table shows the megabytes in
all folders of checkpoints, without ``best/``, after each fifth of the tuning. The second one shows the disk just before
the tuning ends: trials started, trials with checkpoints, and trials whose checkpoints are needed. These are the running
trials, those that may still be resumed, and the incumbent.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from syne_tune import Tuner
from syne_tune.config_space import uniform
from syne_tune.tuner_callback import TunerCallback

from syne_hypersched import ASHA, PASHA, Deadline, ElasticLocalBackend, HyperSched
from syne_hypersched.experiments import QuietTunerLogger, read_events

SCRIPT = """
import argparse
import json
import os
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--st_checkpoint_dir", type=Path)
args = parser.parse_args()
rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
checkpoint = args.st_checkpoint_dir / "weights"
done = int(checkpoint.read_bytes()[:8]) if checkpoint.exists() else 0
args.st_checkpoint_dir.mkdir(parents=True, exist_ok=True)
for epoch in range(done + 1, 28):
    time.sleep(0.1 / world_size)
    if rank == 0:
        checkpoint.with_suffix(".new").write_bytes(b"%08d" % epoch + os.urandom(10**6))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)
        report = {"epoch": epoch, "loss": args.x + 1 / epoch, "st_worker_timestamp": time.time()}
        print("[tune-metric]: " + json.dumps(report), flush=True)
"""

MAX_PAUSED = "max_paused"
"""Suffix for the name of a scheduler that may resume at most twice as many trials as there are devices."""
SCHEDULERS = (
    "ASHA, stopping",
    "ASHA, promotion",
    "PASHA",
    f"PASHA, {MAX_PAUSED}",
    "HyperSched, published",
    "HyperSched, adaptive",
    f"HyperSched, adaptive, {MAX_PAUSED}",
)
NUM_DEVICES = 4
MAX_T = 27
FIFTHS = 5


@dataclass(frozen=True)
class Sample:
    """The checkpoints on the disk at one moment."""

    time_s: float
    num_trials: int
    num_with_checkpoints: int
    num_needed: int
    megabytes: float


class DiskWatch(TunerCallback):
    """Measures the folders of checkpoints from time to time, in the tuner's loop."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._started = self._next = 0.0
        self.samples: list[Sample] = []

    def on_tuning_start(self, tuner: Any) -> None:
        """Starts the clock."""
        self._tuner = tuner
        self._started = self._next = time.monotonic()

    def on_loop_end(self) -> None:
        """Takes a sample if it is time."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._interval_s
            self.samples.append(self._sample(now - self._started))

    def on_tuning_end(self) -> None:
        """Takes the last sample, before the backend ends all trials."""
        self.samples.append(self._sample(time.monotonic() - self._started))

    def _sample(self, time_s: float) -> Sample:
        backend, scheduler = self._tuner.trial_backend, self._tuner.scheduler
        sizes = [_size(backend.checkpoint_trial_path(trial_id)) for trial_id in backend.trial_ids]
        needed = set(backend.trial_ids) - set(scheduler.trials_checkpoints_can_be_removed())
        if scheduler.incumbent is not None:
            needed.add(scheduler.incumbent.trial_id)
        with_checkpoints = [size for size in sizes if size]
        return Sample(time_s, len(sizes), len(with_checkpoints), len(needed), sum(with_checkpoints) / 1e6)


def _size(folder: Path) -> int:
    size = 0
    for path in folder.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


def make_scheduler(name: str, seconds: float) -> Any:
    """One of :const:`SCHEDULERS`."""
    space = {"x": uniform(0, 1)}
    options: dict[str, Any] = {"random_seed": 0}
    kind, *rest = name.split(", ")
    if MAX_PAUSED in rest:
        options["max_paused"] = 2 * NUM_DEVICES
    if kind == "HyperSched":
        return HyperSched(space, "loss", "epoch", MAX_T, NUM_DEVICES, seconds, strategy=rest[0], **options)
    if kind == "PASHA":
        return PASHA(space, "loss", "epoch", MAX_T, **options)
    return ASHA(space, "loss", "epoch", MAX_T, type=rest[0], **options)


def measure(name: str, seconds: float, delete_checkpoints: bool) -> dict[str, Any]:
    """Tunes for the given time; returns the samples of the disk and the number of bytes removed."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "train.py"
        script.write_text(SCRIPT)
        os.environ["SYNETUNE_FOLDER"] = str(Path(folder) / "experiments")
        backend = ElasticLocalBackend(
            script, NUM_DEVICES, device_type="cpu", grace_s=1.0, delete_checkpoints=delete_checkpoints
        )
        watch = DiskWatch(seconds / 40)
        tuner = Tuner(
            trial_backend=backend,
            scheduler=make_scheduler(name, seconds),
            stop_criterion=Deadline(seconds, backend),
            n_workers=NUM_DEVICES,
            sleep_time=0.02,
            save_tuner=False,
            tuner_name="disk",
            callbacks=[watch],
            output_logger=QuietTunerLogger(),
        )
        with contextlib.redirect_stdout(io.StringIO()):
            tuner.run()
        events = read_events(tuner.tuner_path / "events.jsonl")
        freed = sum(event.details["bytes_freed"] for event in events if event.event == "remove_checkpoint")
    return {
        "scheduler": name,
        "delete_checkpoints": delete_checkpoints,
        "samples": [asdict(sample) for sample in watch.samples],
        "megabytes_freed": freed / 1e6,
    }


def megabytes_at(samples: Sequence[dict[str, Any]], time_s: float) -> float:
    """Megabytes in the last sample until a moment."""
    until = [sample["megabytes"] for sample in samples if sample["time_s"] <= time_s]
    return float(until[-1]) if until else 0.0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each tuning takes")
    parser.add_argument("--schedulers", nargs="+", choices=SCHEDULERS, default=SCHEDULERS)
    parser.add_argument("--output", type=Path, help="also write all samples to this JSON file")
    args = parser.parse_args(arguments)
    runs = [measure(name, args.seconds, delete) for name in args.schedulers for delete in (False, True)]
    moments = [args.seconds * fifth / FIFTHS for fifth in range(1, FIFTHS + 1)]
    print(f"{'MB in checkpoints after':<32}" + "".join(f"{moment:>8.0f} s" for moment in moments))
    for run in runs:
        label = f"{run['scheduler']}{', removed' if run['delete_checkpoints'] else ''}"
        print(f"{label:<32}" + "".join(f"{megabytes_at(run['samples'], moment):>10.1f}" for moment in moments))
    print(f"\n{'at the end':<32}{'trials':>8}{'on disk':>9}{'needed':>8}{'MB':>8}")
    for run in runs:
        label = f"{run['scheduler']}{', removed' if run['delete_checkpoints'] else ''}"
        last = run["samples"][-1]
        counts = f"{last['num_trials']:>8}{last['num_with_checkpoints']:>9}{last['num_needed']:>8}"
        print(f"{label:<32}{counts}{last['megabytes']:>8.1f}")
    if args.output is not None:
        args.output.write_text(json.dumps(runs, indent=1))


if __name__ == "__main__":
    main()
