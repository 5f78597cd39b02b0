"""Pretends to train, fast. Every mistake is visible: the loss of an epoch depends on all epochs before it.

It saves in one of three ways (:const:`WRITERS`), each checkpoint with a checksum. With several ranks, all wait for each
other in every epoch, as in a collective. Used by ``chaos.py``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: ``two``: after the report, aside and renamed; the last two are kept, and the newest whole one is loaded.
#: ``early``: before the report, in the same way; a launch begins by reporting again what it has loaded.
#: ``plain``: after the report, in place; the script fails if its only checkpoint is torn.
WRITERS = ("two", "early", "plain")
#: Pause of a plain writer in the middle of a write, so that kills can happen there.
PAUSE_S = 0.002


def training(x: float) -> Iterator[tuple[str, float]]:
    """State and loss after each epoch."""
    state, epoch = repr(x), 0
    while True:
        epoch += 1
        state = next_state(state, epoch)
        yield state, loss_of(x, epoch, state)


def next_state(state: str, epoch: int) -> str:
    return hashlib.sha256(f"{state} {epoch}".encode()).hexdigest()


def loss_of(x: float, epoch: int, state: str) -> float:
    return x + 1 / epoch + 0.1 * int(state[:8], 16) / 2**32


def newest_checkpoint(folder: Path) -> Path | None:
    """A checkpoint that may be torn."""
    return max(folder.glob("epoch-*.json"), default=None) or next(iter(folder.glob(_PLAIN)), None)


def write_checkpoint(folder: Path, epoch: int, state: str, writer: str = "two") -> None:
    text = json.dumps([epoch, state])
    content = json.dumps([text, hashlib.sha256(text.encode()).hexdigest()])
    if writer == "plain":
        with open(folder / _PLAIN, "w", buffering=1) as file:
            file.write(content[: len(content) // 2])
            file.flush()
            time.sleep(PAUSE_S)
            file.write(content[len(content) // 2 :])
        return
    aside = folder / "aside"
    aside.write_text(content)
    os.replace(aside, folder / f"epoch-{epoch:06d}.json")
    for old in sorted(folder.glob("epoch-*.json"))[:-2]:
        old.unlink()


def read_checkpoint(folder: Path, writer: str = "two") -> tuple[int, str] | None:
    """Epoch and state of the newest whole checkpoint; torn ones are removed.

    Raises
    ------
    ValueError
        The only checkpoint of a plain writer is torn.
    """
    while (path := newest_checkpoint(folder)) is not None:
        try:
            text, checksum = json.loads(path.read_text())
            if hashlib.sha256(text.encode()).hexdigest() == checksum:
                epoch, state = json.loads(text)
                return epoch, state
        except (ValueError, TypeError):
            pass
        if writer == "plain":
            raise ValueError(f"{path} is torn")
        print(f"{path} is torn", flush=True)
        path.unlink()
    return None


_PLAIN = "model.json"


class Ranks:
    """The ranks of one launch, which meet in a folder."""

    def __init__(self, folder: Path) -> None:
        self.rank, self.world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self._prefix = str(folder / f"supervisor-{os.getppid()}")

    def meet(self, step: int) -> None:
        """Returns when every rank has called it."""
        files = [Path(f"{self._prefix}-step-{step}-{rank}") for rank in range(self.world_size)]
        files[self.rank].touch()
        while not all(file.exists() for file in files):
            time.sleep(0.002)

    def tell(self, number: int) -> None:
        """Rank 0 sends a number to the others."""
        aside = Path(f"{self._prefix}-aside")
        aside.write_text(str(number))
        os.replace(aside, f"{self._prefix}-number")

    def hear(self) -> int:
        """The number that rank 0 has sent."""
        told = Path(f"{self._prefix}-number")
        while not told.exists():
            time.sleep(0.002)
        return int(told.read_text())


def leave_slowly(most_s: float) -> None:
    """Makes the script exit on SIGTERM, one time in four only after a while."""

    def leave(*_: Any) -> None:
        if random.random() < 0.25:
            time.sleep(random.uniform(0.0, most_s))
        os._exit(0)

    signal.signal(signal.SIGTERM, leave)


def main() -> None:
    from syne_tune import Reporter

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--x", type=float, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--epoch_s", type=float, default=0.04)
    parser.add_argument("--slow_exit_s", type=float, default=0.0)
    parser.add_argument("--writer", choices=WRITERS, default="two")
    parser.add_argument("--st_checkpoint_dir", type=Path, required=True)
    args = parser.parse_args()
    if args.slow_exit_s > 0:
        leave_slowly(args.slow_exit_s)
    folder = args.st_checkpoint_dir
    folder.mkdir(parents=True, exist_ok=True)
    ranks = Ranks(folder)
    if ranks.rank > 0:
        for step in range(ranks.hear()):
            ranks.meet(step)
        return
    done, state = read_checkpoint(folder, args.writer) or (0, repr(args.x))
    ranks.tell(max(0, args.epochs - done))
    report = Reporter()
    if done and args.writer == "early":  # it may not have been reported before the process was killed
        report(epoch=done, loss=loss_of(args.x, done, state))
    for step, epoch in enumerate(range(done + 1, args.epochs + 1)):
        time.sleep(args.epoch_s / ranks.world_size)
        ranks.meet(step)
        state = next_state(state, epoch)
        if args.writer == "early":
            write_checkpoint(folder, epoch, state, args.writer)
        # The others report first: a reported epoch may be trained again, but none is missing.
        report(epoch=epoch, loss=loss_of(args.x, epoch, state))
        if args.writer != "early":
            write_checkpoint(folder, epoch, state, args.writer)


if __name__ == "__main__":
    main()
