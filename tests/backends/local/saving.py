"""A script that saves and reports when it is told."""

from __future__ import annotations

import json

#: Saves, then reports, as often as it is told. Loads with an error if the checkpoint is torn. On a busy machine, a save
#: and two reports may be seen at the same moment, and then it is not certain to which report the save belongs. So tests
#: of the last epoch let the script go on until a report has exactly its checkpoint (``--exact``: from that epoch on).
SAVING_SCRIPT = """
import argparse, json, os, sys, time
from pathlib import Path
from tests.reporter import Reporter

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=1000)
parser.add_argument("--best", type=int, default=1000)
parser.add_argument("--exact", type=int, default=0)
parser.add_argument("--mode", default="")
parser.add_argument("--st_checkpoint_dir", type=Path)
args = parser.parse_args()
folder, report, done = args.st_checkpoint_dir, Reporter(), 0
kept = folder.parent / ".checkpoints-generations"

def has_exactly(epoch):
    notes = kept / "notes.json"
    matched = json.loads(notes.read_text())["matched"] if notes.exists() else []
    return any(each["values"].get("epoch") == epoch and each["match"] == "exact" for each in matched)

if (folder / "model").exists():
    text = (folder / "model").read_text()
    if not text.endswith("."):
        raise EOFError("Ran out of input")
    done = int(text.split()[1])
    print("loaded", done, flush=True)
for epoch in range(done + 1, args.epochs + 1):
    folder.mkdir(exist_ok=True)
    if args.mode == "tears" and epoch == 3 and not Path("torn").exists():
        Path("torn").touch()
        (folder / "model").write_text("epoch 3")  # and closes it, as if all was well
        report(epoch=3, loss=0.5)
        while not (kept / "000003").exists():
            time.sleep(0.005)
        os._exit(1)
    if args.mode == "never":
        pass
    elif args.mode not in ("", "scores"):  # in place
        (folder / "model").write_text(f"epoch {epoch} .")
    else:
        (folder / "model.new").write_text(f"epoch {epoch} .")
        os.replace(folder / "model.new", folder / "model")
    while args.exact and epoch == 1 and not (kept / "000001").exists():
        time.sleep(0.005)  # it is seen that the script saves first
    report(epoch=epoch, loss=1.0 + abs(epoch - args.best))
    if args.mode in ("tears", "scores", "kept"):  # each epoch takes as long as its generation
        while (epoch < 3 or args.mode == "kept") and not (kept / f"{epoch:06d}").exists():
            time.sleep(0.005)
    if args.mode == "scores" and epoch == 2:
        report(loss=0.0)
    time.sleep(0.12)
    if 0 < args.exact <= epoch:
        for _ in range(100 * (1 + epoch - args.exact)):  # each epoch is longer, so that delays matter less and less
            if has_exactly(epoch):
                sys.exit()
            time.sleep(0.01)
"""


def checkpoints(trials, trial_id=0):
    return trials.backend.checkpoint_trial_path(trial_id)


def epoch_of(folder):
    text = (folder / "model").read_text()
    assert text.endswith(".")
    return int(text.split()[1])


def publish(trials):
    """Has all reports published that are better than all before, as a scheduler does that has just seen them."""
    lowest = float("inf")
    for report in trials.reports:
        if report["loss"] < lowest:
            lowest = report["loss"]
            trials.backend.publish(0, report)


def best(trials):
    """Trial and level that are published, the epoch of the checkpoint and how sure that is."""
    result = json.loads((trials.folder / "best" / "result.json").read_text())
    known = result["st_checkpoint"]
    epoch = epoch_of(trials.folder / "best" / "checkpoint") if known else None
    return result["trial_id"], result["epoch"], epoch, known and known["match"]
