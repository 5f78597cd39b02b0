"""Measures the blackbox that is part of the package: learning curves of the digits network, on this machine.

    python benchmarking/studies/measure_digits.py curves --workers 2  # 75 CPU minutes; the same command goes on
    python benchmarking/studies/measure_digits.py speedup  # two minutes, on an otherwise idle machine
    python benchmarking/studies/measure_digits.py pack  # writes syne_hypersched/blackboxes/data/digits_cnn.*

The network and its distorted images are those of ``examples/training_scripts/digits_cnn.py``, with one copy of half of
the images for training and the other half for validation. Each of the 1,000 configurations, drawn at random from SPACE,
is trained for 81 epochs by one thread.

*Seconds of an epoch* are the CPU seconds of the training process (one thread, including data and validation): the time
of the epoch on an idle core. The packed description says how much longer the wall clock ran. *Speed-up at two slots* is
measured in wall seconds for each batch size and width, the only hyperparameters on which it can depend: the same epochs
by one process, and by two with DistributedDataParallel on Gloo, one thread each.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples" / "training_scripts"))

NUM_CONFIGS = 1000
NUM_EPOCHS = 81
VAL_SHARE = 0.5
SEED = 20261121
#: Hyperparameter: values to choose from, or (lowest, highest, drawn on a logarithmic scale or not).
SPACE: dict[str, list[int] | tuple[float, float, bool]] = {
    "learning_rate": (1e-3, 1.0, True),
    "final_lr_factor": (1e-3, 1.0, True),
    "momentum": (0.0, 0.99, False),
    "weight_decay": (1e-6, 1e-1, True),
    "dropout": (0.0, 0.6, False),
    "batch_size": [64, 128, 256, 512],
    "width": [4, 8, 16],
}
SPEEDUP_EPOCHS = 12
SPEEDUP_REPEATS = 3


def draw_configs() -> list[dict[str, float]]:
    """The configurations, the same on every machine."""
    random_state = np.random.RandomState(SEED)
    configs = []
    for _ in range(NUM_CONFIGS):
        config: dict[str, float] = {}
        for name, domain in SPACE.items():
            if isinstance(domain, list):
                config[name] = domain[random_state.randint(len(domain))]
                continue
            lowest, highest, is_log = domain
            share = random_state.uniform()
            value = (
                math.exp(math.log(lowest) + share * math.log(highest / lowest))
                if is_log
                else lowest + share * (highest - lowest)
            )
            config[name] = float(f"{value:.4g}")
        configs.append(config)
    return configs


def make_training(config: dict[str, float], num_ranks: int = 1, rank: int = 0) -> Any:
    """A function that trains the epoch of the given number and returns what the training script would report."""
    import digits_cnn
    import torch
    from torch.nn import functional

    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = digits_cnn.DigitsCNN(int(config["width"]), config["dropout"])
    model = torch.nn.parallel.DistributedDataParallel(network) if num_ranks > 1 else network
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=config["learning_rate"],
        momentum=config["momentum"],
        weight_decay=config["weight_decay"],
        nesterov=config["momentum"] > 0,
    )
    (train_x, train_y), (val_x, val_y) = digits_cnn.load_data(VAL_SHARE)
    val_x = digits_cnn.distort(val_x, torch.Generator().manual_seed(0))

    def train(epoch: int) -> tuple[float, float]:
        for group in optimizer.param_groups:
            group["lr"] = digits_cnn.learning_rate_in(
                epoch, config["learning_rate"], config["final_lr_factor"], NUM_EPOCHS
            )
        generator = torch.Generator().manual_seed(epoch)
        order = torch.randperm(len(train_x), generator=generator)
        images, labels = digits_cnn.distort(train_x, generator)[order], train_y[order]
        torch.manual_seed(epoch * 1_009 + rank)
        model.train()
        for batch in torch.arange(len(images)).split(int(config["batch_size"])):
            share = batch[rank::num_ranks]
            loss = functional.cross_entropy(model(images[share]), labels[share], reduction="sum")
            optimizer.zero_grad(set_to_none=True)
            (loss * num_ranks / len(batch)).backward()
            optimizer.step()
        network.eval()
        with torch.inference_mode():
            logits = network(val_x[rank::num_ranks])
            val_loss = functional.cross_entropy(logits, val_y[rank::num_ranks], reduction="sum")
            sums = torch.stack([val_loss, (logits.argmax(dim=1) == val_y[rank::num_ranks]).sum()])
            if num_ranks > 1:
                torch.distributed.all_reduce(sums)
        return sums[1].item() / len(val_y), sums[0].item() / len(val_y)

    return train


def measure_curve(config: dict[str, float]) -> dict[str, list[float]]:
    train = make_training(config)
    curve: dict[str, list[float]] = {"val_accuracy": [], "val_loss": [], "seconds": [], "wall_s": []}
    for epoch in range(1, NUM_EPOCHS + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        val_accuracy, val_loss = train(epoch)
        curve["seconds"].append(round(time.process_time() - cpu, 5))
        curve["wall_s"].append(round(time.perf_counter() - wall, 5))
        curve["val_accuracy"].append(round(val_accuracy, 6))
        curve["val_loss"].append(round(val_loss, 5))
    return curve


def read_lines(folder: Path, pattern: str) -> list[dict[str, Any]]:
    """All whole lines; the last line of an interrupted process may be torn and is skipped."""
    lines = []
    for path in sorted(folder.glob(pattern)):
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                lines.append(json.loads(line))
    return lines


def curves_worker(folder: Path, worker: int, workers: int) -> None:
    done = {line["config_id"] for line in read_lines(folder, "curves-*.jsonl")}
    path = folder / f"curves-{worker}-of-{workers}-{os.getpid()}.jsonl"
    with path.open("a") as file:
        for config_id, config in list(enumerate(draw_configs()))[worker::workers]:
            if config_id in done:
                continue
            curve = measure_curve(config)
            file.write(json.dumps({"config_id": config_id, **curve}) + "\n")
            file.flush()
            print(f"{config_id}: {max(curve['val_accuracy']):.4f}, {sum(curve['seconds']):.1f} s", flush=True)


def measure_curves(folder: Path, workers: int) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=curves_worker, args=(folder, k, workers)) for k in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        sys.exit("a worker failed; what was measured is kept, start again to go on")


def speedup_rank(rank: int, num_ranks: int, init_file: str, config: dict[str, float], queue: Any) -> None:
    import gc

    import torch.distributed as dist

    if num_ranks > 1:
        dist.init_process_group("gloo", init_method=f"file://{init_file}", rank=rank, world_size=num_ranks)
    train = make_training(config, num_ranks, rank)
    seconds = []
    for epoch in range(1, SPEEDUP_EPOCHS + 1):
        start = time.perf_counter()
        train(epoch)
        seconds.append(time.perf_counter() - start)
    if rank == 0:
        queue.put(seconds)
    if num_ranks > 1:
        del train
        gc.collect()
        dist.destroy_process_group()


def epoch_seconds(config: dict[str, float], num_ranks: int, folder: Path) -> float:
    """Median wall seconds of an epoch, without the first two, which allocate memory and open connections."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    init_file = folder / f"rendezvous-{time.monotonic_ns()}"
    processes = [
        context.Process(target=speedup_rank, args=(rank, num_ranks, str(init_file), config, queue))
        for rank in range(num_ranks)
    ]
    for process in processes:
        process.start()
    seconds = queue.get(timeout=300)
    for process in processes:
        process.join()
    init_file.unlink(missing_ok=True)
    return statistics.median(seconds[2:])


def measure_speedup(folder: Path) -> None:
    middle = {"learning_rate": 0.05, "final_lr_factor": 0.1, "momentum": 0.9, "weight_decay": 1e-4, "dropout": 0.1}
    path = folder / f"speedup-{int(time.time())}.jsonl"
    widths, batch_sizes = SPACE["width"], SPACE["batch_size"]
    for _ in range(SPEEDUP_REPEATS):
        for width in widths:
            for batch_size in batch_sizes:
                config = {**middle, "width": width, "batch_size": batch_size}
                one, two = (epoch_seconds(config, num_ranks, folder) for num_ranks in (1, 2))
                line = {"width": width, "batch_size": batch_size, "one_s": round(one, 5), "two_s": round(two, 5)}
                with path.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(f"{line}: {one / two:.2f} times as fast", flush=True)


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def pack(folder: Path, output: Path) -> None:
    import torch

    lines = {line["config_id"]: line for line in read_lines(folder, "curves-*.jsonl")}
    missing = sorted(set(range(NUM_CONFIGS)) - set(lines))
    if missing:
        sys.exit(f"{len(missing)} configurations are still to be measured, the first is {missing[0]}")
    speedups: dict[tuple[int, int], list[float]] = {}
    for line in read_lines(folder, "speedup-*.jsonl"):
        speedups.setdefault((line["width"], line["batch_size"]), []).append(line["one_s"] / line["two_s"])
    if not speedups:
        sys.exit("the speed-up at two slots is still to be measured")
    configs = draw_configs()
    curves = [lines[config_id] for config_id in range(NUM_CONFIGS)]
    arrays = {f"config_{name}": np.array([config[name] for config in configs], dtype=np.float32) for name in SPACE}
    for name in ("batch_size", "width"):
        arrays[f"config_{name}"] = arrays[f"config_{name}"].astype(np.int16)
    # Counts of correct images compress far better than shares, without loss.
    num_val = 899
    accuracy = np.array([curve["val_accuracy"] for curve in curves])
    arrays["val_correct"] = np.rint(accuracy * num_val).astype(np.int16)
    with np.errstate(over="ignore"):
        arrays["val_loss"] = np.array([curve["val_loss"] for curve in curves], dtype=np.float32).astype(np.float16)
    arrays["epoch_us"] = np.rint(1e6 * np.array([curve["seconds"] for curve in curves])).astype(np.int32)
    output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(output.with_suffix(".npz"), **arrays)
    wall = [wall / cpu for curve in curves for wall, cpu in zip(curve["wall_s"], curve["seconds"], strict=True)]
    description = {
        "what": "learning curves of examples/training_scripts/digits_cnn.py on scikit-learn's digits, measured",
        "made_by": "benchmarking/studies/measure_digits.py",
        "date": time.strftime("%Y-%m-%d"),
        "num_configs": NUM_CONFIGS,
        "num_epochs": NUM_EPOCHS,
        "num_train_images": 898,
        "num_val_images": num_val,
        "seed_of_configurations": SEED,
        "space": SPACE,
        "seconds": "CPU seconds of the one thread that trains; an epoch with its data, training and validation",
        "wall_over_cpu_seconds_median": round(statistics.median(wall), 3),
        "speedup_at_two_slots": [
            {"width": width, "batch_size": batch_size, "speedup": round(statistics.median(values), 3)}
            for (width, batch_size), values in sorted(speedups.items())
        ],
        "hardware": {
            "cpu": cpu_model(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
    }
    output.with_suffix(".json").write_text(json.dumps(description, indent=2) + "\n")
    for path in (output.with_suffix(".npz"), output.with_suffix(".json")):
        print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["curves", "speedup", "pack"])
    parser.add_argument("--folder", type=Path, default=ROOT / "digits-measurements", help="for what is measured")
    parser.add_argument("--workers", type=int, default=1, help="processes that measure curves (at most one a core)")
    parser.add_argument("--output", type=Path, default=ROOT / "syne_hypersched" / "blackboxes" / "data" / "digits_cnn")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.step == "curves":
        measure_curves(args.folder, args.workers)
    elif args.step == "speedup":
        measure_speedup(args.folder)
    else:
        pack(args.folder, args.output)


if __name__ == "__main__":
    main()
