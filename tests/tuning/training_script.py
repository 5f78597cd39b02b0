"""A script of a few lines that reports and checkpoints, as a user may have one."""

import argparse
import json
import os
import time
from pathlib import Path

from tests.reporter import Reporter

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--width", type=int)
parser.add_argument("--fail", default="no")
parser.add_argument("--st_checkpoint_dir", type=Path)
options = parser.parse_args()
if options.fail == "yes":
    raise RuntimeError("this script fails")
options.st_checkpoint_dir.mkdir(parents=True, exist_ok=True)
state = options.st_checkpoint_dir / "epoch.json"
done = json.loads(state.read_text()) if state.exists() else 0
report = Reporter()
for epoch in range(done + 1, 28):
    time.sleep(0.02)
    new = state.with_suffix(".new")
    new.write_text(json.dumps(epoch))
    os.replace(new, state)
    report(epoch=epoch, val_loss=abs(options.lr - 0.1) + 1 / (epoch + options.width))
