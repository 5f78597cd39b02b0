"""Pretends to train, and notices a second process in its place, on whatever node. Used by ``cluster_chaos.py``.

The locks lie in a folder that all nodes share, and are those of the kernel: on namespaces of one machine they see both
sides of a cut.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import socket
import time
from pathlib import Path

from syne_tune import Reporter


def owns(path: Path) -> bool:
    """Takes a lock until this process ends; returns whether it was free."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return False
    return True


def take_memory(hog: Path) -> None:
    """Takes more and more memory, up to the bytes that a file says, if no other process has taken the file."""
    aside = hog.with_name(f"hog-{os.getpid()}")
    try:
        hog.rename(aside)
    except FileNotFoundError:
        return
    most, taken = float(aside.read_text()), []
    while len(taken) * 50e6 < most:
        taken.append(b"x" * 50_000_000)
        time.sleep(0.02)
    time.sleep(2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--x", type=float)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--slots", type=int)
    parser.add_argument("--watch", type=Path)
    parser.add_argument("--st_checkpoint_dir", type=Path)
    args = parser.parse_args()
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    trial, host = args.st_checkpoint_dir.parent.name, socket.gethostname()
    problems = []
    if not owns(args.watch / f"trial-{trial}-{rank}"):
        problems.append(f"trial {trial} rank {rank} runs twice, also on {host}")
    if not any(owns(args.watch / f"slot-{host}-{slot}") for slot in range(args.slots)):
        problems.append(f"more than {args.slots} ranks on {host}")
    if "RAY_AUTH_TOKEN" in os.environ or any(name.startswith("RAY_") for name in os.environ):
        problems.append("a trial sees variables of Ray")
    for problem in problems:
        with open(args.watch / "problems", "a") as file:
            file.write(f"{time.time():.3f} {problem}\n")
    checkpoint = args.st_checkpoint_dir / "epoch.json"
    done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
    report = Reporter()
    for epoch in range(done + 1, args.epochs + 1):
        time.sleep(0.2 / size)
        take_memory(args.watch / "hog")
        if rank == 0:
            report(epoch=epoch, loss=args.x + 1 / epoch)
            args.st_checkpoint_dir.mkdir(parents=True, exist_ok=True)
            aside = checkpoint.with_suffix(".new")
            aside.write_text(json.dumps(epoch))
            os.replace(aside, checkpoint)
