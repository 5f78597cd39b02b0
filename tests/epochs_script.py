"""A script that trains and reports for some seconds, for tests that look at a tuning while it goes on."""

from __future__ import annotations

EPOCHS_SCRIPT = """
import argparse, time
from tests.reporter import Reporter
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--st_checkpoint_dir")
args = parser.parse_args()
report = Reporter()
for epoch in range(1, 100):
    time.sleep(0.05)
    report(epoch=epoch, loss=args.x / epoch)
"""
