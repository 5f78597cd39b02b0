"""Simulates ten thousand crashes during writes of checkpoints, and checks each time that one can be loaded.

    python benchmarking/faults/training_crashes.py

A disk in memory executes the operations of ``CheckpointFolder`` and stops at a random one. In half of the cases the
process ends; in the other half the machine ends, and data that were not synced are lost (see ``CrashingDisk``). The
checkpoint that is then loaded must have its full content, and must not be older than the last one that was reported as
durable.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Sequence

from syne_hypersched.checkpoint_folder import CheckpointFolder
from syne_hypersched.testing.crashing_disk import Crash, CrashingDisk

FOLDER = "/run/checkpoints"
#: After this many crashes another run begins on an empty disk, since the first checkpoint is the most endangered.
_CRASHES_OF_A_RUN = 10


def payload(number: int, size: int) -> bytes:
    return number.to_bytes(8, "big") + random.Random(number).randbytes(size)


def write_checkpoint(folder: CheckpointFolder, disk: CrashingDisk, number: int, size: int) -> None:
    aside = folder.begin()
    with disk.create(f"{aside}/state.pt") as file:
        file.write(payload(number, size))
    disk.create_folder(f"{aside}/shards")
    with disk.create(f"{aside}/shards/0") as file:
        file.write(payload(number, size // 2))
    folder.commit(aside)


def read_checkpoint(folder: CheckpointFolder, disk: CrashingDisk) -> int | None:
    """The number of the newest whole checkpoint."""
    path = folder.newest()
    if path is None:
        return None
    with disk.open(f"{path}/state.pt") as file:
        content = file.read()
    number = int.from_bytes(content[:8], "big")
    if content != payload(number, len(content) - 8):
        raise RuntimeError(f"{path} was taken for whole, but is not")
    return number


def crash_again_and_again(num_crashes: int, seed: int, keep: int = 2) -> Counter[str]:
    """Returns the number of each kind of event."""
    generator = random.Random(seed)
    counts: Counter[str] = Counter()
    while counts["crashes"] < num_crashes:
        if counts["crashes"] % _CRASHES_OF_A_RUN == 0:
            disk = CrashingDisk(generator)
            number, durable = 0, None
        folder = CheckpointFolder(FOLDER, keep=keep, disk=disk)  # of another process than before
        disk.crash_after = generator.randrange(120)
        try:
            while True:
                number += 1
                write_checkpoint(folder, disk, number, generator.randrange(4096))
                durable = number
                counts["checkpoints"] += 1
        except Crash:
            of_the_machine = generator.random() < 0.5
            disk.crash(of_the_machine)
        counts["crashes"] += 1
        counts["of the machine"] += of_the_machine
        found = read_checkpoint(folder, disk)
        if durable is not None and (found is None or found < durable):
            raise RuntimeError(f"checkpoint {durable} was durable, but {found} is the newest that can be loaded")
        # One that was being written when the crash came may have become durable.
        counts["one more than was known"] += found is not None and found != durable
        if found is not None:
            durable = number = found
    return counts


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crashes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    for keep in (1, 2):
        counts = crash_again_and_again(args.crashes, args.seed, keep)
        print(f"keep={keep}: " + ", ".join(f"{value:,} {name}" for name, value in counts.items()) + "; none lost")


if __name__ == "__main__":
    main()
