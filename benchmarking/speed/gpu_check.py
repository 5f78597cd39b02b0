"""What only a GPU can show, in one script of less than ten minutes on one GPU: whoever has one runs ``make gpu-check``.

Checks that a warm launch opens no GPU in the server, how long launches take, that memory is free after a trial has
ended, that an elastic run with AMP and ``torch.compile`` goes on as if it had not been interrupted, that a drain ends
in time with a checkpoint, a resize between two GPUs (or MIG instances) if there are two, and how much more two to four
small trials do when they share one GPU. Prints one table; exits with 1 if a check has failed.

    python benchmarking/speed/gpu_check.py
    python benchmarking/speed/gpu_check.py --device cpu --quick   # what of it can be tried without a GPU
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarking.speed.gpu_memory import memory_used, settled_memory
from benchmarking.speed.gpu_scripts import ELASTIC, LAUNCHED, PACKED
from syne_hypersched.backends import ElasticLocalBackend


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    check: str
    verdict: str
    """``ok``, ``FAILED``, ``measured`` or ``skipped``."""

    figure: str


@dataclass(frozen=True)
class Setting:
    """What is checked, and how thoroughly."""

    device: str
    """``cuda`` or ``cpu``."""

    folder: Path
    repeats: int
    pack_s: float
    megabytes: int
    compile: bool

    @property
    def device_type(self) -> Any:
        """The kind of devices of the backend."""
        return "gpu" if self.device == "cuda" else "cpu"


def wait_until(is_true: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Returns what ``is_true`` gives as soon as it is true.

    Raises
    ------
    TimeoutError
        It has not become true in time.
    """
    give_up_at = time.monotonic() + timeout_s
    while not (found := is_true()):
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"{what} did not happen within {timeout_s:g} s")
        time.sleep(0.005)
    return found


def launched(setting: Setting, launch: Any) -> tuple[list[float], list[dict[str, Any]], list[float]]:
    """Launches a trial again and again; seconds to its first line, what it saw, and megabytes that stayed in use."""
    mark = setting.folder / f"mark-{launch}.json"
    script = setting.folder / f"launched_{launch}.py"
    named = {
        "MARK": str(mark),
        "DEVICE": setting.device,
        "MEGABYTES": setting.megabytes,
        "TUNER": os.getpid(),
    }
    body = LAUNCHED
    for name, value in named.items():
        body = body.replace(name, repr(value))
    script.write_text(body)
    backend = ElasticLocalBackend(script, num_devices=1, device_type=setting.device_type, launch=launch, grace_s=1.0)
    backend.set_path(str(setting.folder / f"trials-{launch}"))
    seconds, seen, left = [], [], []
    try:
        for trial_id in range(setting.repeats + 1):
            before, began = memory_used(), time.monotonic()
            backend.start_trial({})

            def arrived(trial_id: int = trial_id) -> bool:
                backend.fetch_status_results([trial_id])
                return mark.exists()

            wait_until(arrived, 180.0, f"the first line of a {launch} launch")
            seen.append(json.loads(mark.read_text()))
            seconds.append(seen[-1]["first_line_s"] - began)
            mark.unlink()
            backend.stop_trial(trial_id)

            def ended(trial_id: int = trial_id) -> bool:
                backend.fetch_status_results([trial_id])
                return not backend.busy_trial_ids()

            wait_until(ended, 60.0, "the end of a trial")
            if before is not None:
                left.append(float(settled_memory(before, setting.megabytes / 4) - before))
    finally:
        backend.stop_all()
    return seconds[1:], seen, left[1:]  # the first one waits for the server


def check_launches(setting: Setting) -> list[Row]:
    """Warm and cold launches."""
    rows = []
    for launch in ("warm", "cold"):
        seconds, seen, left = launched(setting, launch)
        figure = f"median {statistics.median(seconds):.2f} s, at most {max(seconds):.2f} s of {len(seconds)}"
        rows.append(Row(f"{launch} launch to the first line after `import torch`", "measured", figure))
        clean = not any(each["was_initialized"] or each["gpu_ancestors"] for each in seen)
        if launch == "warm":
            said = "a GPU was open before the script ran"
            if clean:
                said = f"neither server nor supervisor of {len(seen)} trials has a GPU open"
            rows.append(Row("no CUDA in the server", "ok" if clean else "FAILED", said))
        if left:
            kept = max(left)
            verdict = "ok" if kept < setting.megabytes / 4 else "FAILED"
            rows.append(
                Row(f"memory after a {launch} trial has ended", verdict, f"{kept:+.0f} MB of {setting.megabytes}")
            )
        else:
            rows.append(Row(f"memory after a {launch} trial has ended", "skipped", "nvidia-smi does not say"))
    return rows


def elastic_command(setting: Setting, folder: str, *arguments: object) -> list[str]:
    """The command that trains the elastic script, with a checkpoint folder."""
    script = setting.folder / "elastic.py"
    script.write_text(ELASTIC)
    checkpoints = setting.folder / folder
    return [sys.executable, str(script), *map(str, arguments), "--st_checkpoint_dir", str(checkpoints)]


def losses(output: str) -> list[float]:
    """The losses that a script has reported, in order."""
    lines = [line.partition("[tune-metric]: ")[2] for line in output.splitlines() if "[tune-metric]: " in line]
    return [float(json.loads(line)["train_loss"]) for line in lines]


def train(setting: Setting, folder: str, epochs: int, compiled: bool) -> list[float]:
    """Trains, or goes on, and returns the losses reported."""
    command = elastic_command(setting, folder, "--epochs", epochs, "--compile", int(compiled))
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=environment(setting), check=False)
    if done.returncode:
        raise RuntimeError(f"the elastic script has failed: {' '.join(done.stderr.split()[-40:])}")
    return losses(done.stdout)


def environment(setting: Setting) -> dict[str, str]:
    """The environment of a training script that is started by hand."""
    hidden = {} if setting.device == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}
    return {**os.environ, **hidden}


def check_elastic(setting: Setting) -> list[Row]:
    """An elastic run with AMP, with and without ``torch.compile``, that is interrupted once."""
    rows = []
    for compiled in (False, True):
        name = "AMP and torch.compile" if compiled else "AMP"
        if compiled and not setting.compile:
            rows.append(Row(f"ElasticRun with {name}", "skipped", "not with --quick"))
            continue
        whole = train(setting, f"whole-{compiled}", 4, compiled)
        parts = train(setting, f"parts-{compiled}", 2, compiled) + train(setting, f"parts-{compiled}", 4, compiled)
        if len(whole) != len(parts) or len(whole) != 4:
            rows.append(Row(f"ElasticRun with {name}", "FAILED", f"{len(whole)} and {len(parts)} reports instead of 4"))
            continue
        difference = max(abs(a - b) / abs(a) for a, b in zip(whole, parts, strict=True))
        falls = whole[-1] < whole[0]
        verdict = "ok" if difference < 1e-3 and falls else "FAILED"
        figure = f"interrupted and not: losses differ by {difference:.1e}; {whole[0]:.3f} to {whole[-1]:.3f}"
        rows.append(Row(f"ElasticRun with {name}", verdict, figure))
    return rows


def check_drain(setting: Setting) -> list[Row]:
    """A trial that is asked to end in the middle of an epoch."""
    command = elastic_command(setting, "drain", "--epochs", 1000, "--compile", 0, "--wait_s", 0.02)
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment(setting)
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "[tune-metric]" in line:
                break
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    seconds = time.monotonic() - began
    saved = any((setting.folder / "drain").rglob("*.pt"))
    verdict = "ok" if saved and seconds < 5.0 else "FAILED"
    figure = f"{seconds:.2f} s, exit code {process.returncode}, {'with' if saved else 'without'} a checkpoint"
    return [Row("drain in the middle of an epoch", verdict, figure)]


def check_resize(setting: Setting) -> list[Row]:
    """A resize between two devices, if there are two."""
    name = "resize from 1 to 2 devices and back"
    mark = setting.folder / "resized.json"
    script = setting.folder / "resized.py"
    body = LAUNCHED
    for constant, value in (
        ("MARK", str(mark)), ("DEVICE", setting.device), ("MEGABYTES", 1), ("TUNER", os.getpid())
    ):  # fmt: skip
        body = body.replace(constant, repr(value))
    script.write_text(body)
    try:
        # One process that sees all devices: NCCL does not connect two MIG instances of one GPU.
        backend = ElasticLocalBackend(
            script, num_devices=2, device_type=setting.device_type, processes="single", grace_s=1.0
        )
    except ValueError as error:
        return [Row(name, "skipped", f"needs two GPUs, or MIG instances: {error}")]
    backend.set_path(str(setting.folder / "trials-resized"))
    seconds, visible = [], []

    def arrived() -> bool:
        backend.fetch_status_results([0])
        return mark.exists()

    try:
        trial = backend.start_trial({})
        wait_until(arrived, 180.0, "the first launch")
        for num_devices in (2, 1):
            mark.unlink()
            began = time.monotonic()
            trial.resize(num_devices)
            wait_until(arrived, 120.0, f"the launch on {num_devices} devices")
            seen = json.loads(mark.read_text())
            seconds.append(seen["first_line_s"] - began)
            visible.append(len((seen["visible"] or "").split(",")) if seen["visible"] else 0)
    finally:
        backend.stop_all()
    sees_right = visible == [2, 1] or setting.device == "cpu"
    figure = f"{seconds[0]:.2f} s and {seconds[1]:.2f} s; visible devices {visible}"
    return [Row(name, "ok" if sees_right else "FAILED", figure)]


def packed(setting: Setting, count: int) -> float:
    """Steps in a second of ``count`` small trainings at the same time on one device, all together."""
    script = setting.folder / "packed.py"
    script.write_text(PACKED)
    command = [sys.executable, str(script), setting.device, str(setting.pack_s)]
    trainings = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment(setting), "OMP_NUM_THREADS": "1"},
        )
        for _ in range(count)
    ]
    try:
        for training in trainings:
            assert training.stdout is not None
            if training.stdout.readline().strip() != "ready":
                raise RuntimeError("a small training has failed")
        for training in trainings:
            assert training.stdin is not None
            training.stdin.write("go\n")
            training.stdin.flush()
        outputs = [training.communicate(timeout=60 + setting.pack_s)[0] for training in trainings]
    finally:
        for training in trainings:
            training.kill()
            training.wait()
    return sum(float(json.loads(output)) for output in outputs)


def check_packing(setting: Setting) -> list[Row]:
    """How much more two to four small trainings do on one device than one alone."""
    alone = packed(setting, 1)
    counts = (2, 3, 4) if setting.device == "cuda" else (2,)
    factors = [f"{count} trials: {packed(setting, count) / alone:.2f}" for count in counts]
    return [Row("work of small trials on one device, one alone is 1", "measured", ", ".join(factors))]


CHECKS: dict[str, Callable[[Setting], list[Row]]] = {
    "launches": check_launches,
    "elastic": check_elastic,
    "drain": check_drain,
    "resize": check_resize,
    "packing": check_packing,
}


def run_checks(setting: Setting, names: Sequence[str]) -> list[Row]:
    """All checks of the names; one that raises has failed, and the others go on."""
    rows = []
    for name in names:
        try:
            rows += CHECKS[name](setting)
        except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
            rows.append(Row(name, "FAILED", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"))
    return rows


def table_of(rows: Sequence[Row]) -> str:
    """The table as Markdown, which a terminal shows as well."""
    header = Row("check", "verdict", "figure")
    width, narrow = (max(len(getattr(row, name)) for row in (header, *rows)) for name in ("check", "verdict"))
    lines = [f"| {row.check:{width}} | {row.verdict:{narrow}} | {row.figure} |" for row in (header, *rows)]
    return "\n".join([lines[0], f"| {'-' * width} | {'-' * narrow} | --- |", *lines[1:]])


def describe_machine(device: str) -> str:
    """The GPU, and the versions on which the figures depend."""
    import torch

    gpu = torch.cuda.get_device_name() if device == "cuda" else f"{os.cpu_count()} CPU cores"
    return f"{gpu}; torch {torch.__version__}, CUDA {torch.version.cuda}; Python {platform.python_version()}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the checks and prints the table; 0 if none has failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="what to check (default cuda)")
    parser.add_argument("--only", choices=tuple(CHECKS), nargs="+", help="only these checks")
    parser.add_argument("--quick", action="store_true", help="fewer repeats, and no torch.compile")
    options = parser.parse_args(arguments)
    if options.device == "cuda":
        # In a process of its own, so that nothing below inherits an open GPU.
        seen = subprocess.run(
            [sys.executable, "-c", "import torch; print(torch.cuda.is_available())"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if seen.stdout.strip() != "True":
            print("gpu_check: PyTorch sees no GPU here; --device cpu tries what needs none", file=sys.stderr)
            return 2
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as name:
        setting = Setting(
            device=options.device,
            folder=Path(name),
            repeats=2 if options.quick else 10,
            pack_s=1.0 if options.quick else 10.0,
            megabytes=64 if options.device == "cpu" else 2048,
            compile=not options.quick,
        )
        rows = run_checks(setting, options.only or tuple(CHECKS))
    print(f"{describe_machine(options.device)}; {time.monotonic() - began:.0f} s")
    print(table_of(rows))
    return int(any(row.verdict == "FAILED" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
