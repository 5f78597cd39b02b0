"""Which devices this process may use: GPUs, parts of GPUs (MIG), or CPU slots."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from syne_hypersched import checks
from syne_hypersched.backends.machine._cpu_quota import cpu_quota

#: More CPU slots than any machine has cores.
_MOST_SLOTS = 1 << 16

logger = logging.getLogger(__name__)

DeviceType = Literal["auto", "gpu", "cpu"]
"""Kind of devices: GPUs, CPU slots, or GPUs if any is visible and else CPU slots."""


@dataclass(frozen=True)
class Devices:
    """The devices of a backend."""

    names: tuple[str, ...]
    """GPUs: tokens for ``CUDA_VISIBLE_DEVICES``. CPU slots: ``cpu0``, ``cpu1``, ..."""
    cores: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """CPU slots: the cores of each; empty for GPUs."""
    threads: dict[str, int] = field(default_factory=dict)
    """CPU slots: threads for each, where a quota of CPU time allows less than one for each core."""

    @property
    def are_gpus(self) -> bool:
        """Whether the devices are GPUs rather than CPU slots."""
        return not self.cores

    def num_threads(self, names: Sequence[str]) -> int | None:
        """How many threads a process has that holds these devices; None: GPUs, to which no cores belong."""
        if self.are_gpus:
            return None
        num_cores = len({core for name in names for core in self.cores[name]})
        return min(num_cores, sum(self.threads.get(name, len(self.cores[name])) for name in names))


def visible_gpus(env: Mapping[str, str], installed: Sequence[str]) -> tuple[str, ...]:
    """The GPUs that a process with environment ``env`` can use, as tokens for ``CUDA_VISIBLE_DEVICES``.

    An inherited ``CUDA_VISIBLE_DEVICES`` is honoured as CUDA does: indices, UUIDs (whole or their beginning) or MIG
    ids, cut at the first entry that names no device. Its entries are handed on as they are, because indices depend on
    ``CUDA_DEVICE_ORDER`` and only CUDA knows what they mean.

    Parameters
    ----------
    env
        Environment, usually ``os.environ``.
    installed
        UUIDs of the devices on this machine; with MIG, those of its instances.

    Raises
    ------
    ValueError
        ``CUDA_VISIBLE_DEVICES`` names a device twice.
    """
    inherited = env.get("CUDA_VISIBLE_DEVICES")
    if inherited is None:
        uses_mig = any(uuid.startswith("MIG") for uuid in installed)
        # With MIG an index names a whole GPU, of which CUDA uses the first instance only.
        return tuple(installed) if uses_mig else tuple(str(index) for index in range(len(installed)))
    tokens: list[str] = []
    for token in (entry.strip() for entry in inherited.split(",")):
        if token.lstrip("-").isdigit():
            if not 0 <= int(token) < len(installed):
                break
        elif not token or not any(uuid.startswith(token) for uuid in installed):
            break
        if token in tokens:
            raise ValueError(f"CUDA_VISIBLE_DEVICES must name each device once, but is {inherited!r}")
        tokens.append(token)
    return tuple(tokens)


def installed_gpus() -> tuple[str, ...]:
    """UUIDs of the GPUs (with MIG: of their instances) on this machine; empty if there are none.

    Asks NVML where ``nvidia-ml-py`` is installed, else ``nvidia-smi``. Neither touches CUDA.
    """
    try:
        import pynvml
    except ImportError:
        return _gpus_from_nvidia_smi()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        uuids: list[str] = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
            instances: list[str] = []
            with contextlib.suppress(pynvml.NVMLError):  # most GPUs know no MIG
                if pynvml.nvmlDeviceGetMigMode(gpu)[0] == pynvml.NVML_DEVICE_MIG_ENABLE:
                    for number in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
                        with contextlib.suppress(pynvml.NVMLError):  # not every number is taken
                            instance = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, number)
                            instances.append(pynvml.nvmlDeviceGetUUID(instance))
            uuids += instances or [pynvml.nvmlDeviceGetUUID(gpu)]
        return tuple(uuids)
    finally:
        pynvml.nvmlShutdown()


def _gpus_from_nvidia_smi() -> tuple[str, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        listing = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse_nvidia_smi(listing.stdout) if listing.returncode == 0 else ()


def parse_nvidia_smi(listing: str) -> tuple[str, ...]:
    """UUIDs in the output of ``nvidia-smi -L``; a GPU that lists MIG instances is replaced by them."""
    gpus: list[list[str]] = []
    for line in listing.splitlines():
        _, found, rest = line.partition("(UUID: ")
        uuid = rest.rstrip(") \t")
        if found and line.startswith("GPU"):
            gpus.append([uuid])
        elif found and gpus:
            gpus[-1].append(uuid)
    return tuple(uuid for gpu in gpus for uuid in (gpu[1:] or gpu))


def find_devices(
    num_devices: int | None = None,
    gpus_to_use: Sequence[int] | None = None,
    device_type: DeviceType = "auto",
    env: Mapping[str, str] | None = None,
    installed: Sequence[str] | None = None,
    cores: Sequence[int] | None = None,
    quota: float | None = None,
) -> Devices:
    """The devices that a backend is to use.

    Parameters
    ----------
    num_devices
        Number of devices; ``None``: all visible GPUs or, with CPU slots, one slot for each core, or for each CPU that
        control groups grant if these are fewer.
    gpus_to_use
        Positions among the visible GPUs, if not all are to be used.
    device_type
        ``"gpu"``, ``"cpu"``, or ``"auto"``: GPUs if any is visible, else CPU slots.
    env, installed, cores
        Environment, UUIDs of the GPUs and usable CPU cores; by default those of this process and machine.
    quota
        CPU seconds that may be used in a second; None: any. By default, if no cores are given, those of this process.

    Raises
    ------
    TypeError, ValueError
        More devices are asked for than there are, or an argument makes no sense.
    """
    checks.one_of("device_type", device_type, get_args(DeviceType))
    if num_devices is not None:
        num_devices = checks.positive_integer("num_devices", num_devices)
        checks.integer("num_devices", num_devices, at_most=_MOST_SLOTS, why="the most slots of one machine")
    gpus: tuple[str, ...] = ()
    if device_type != "cpu":
        gpus = visible_gpus(os.environ if env is None else env, installed_gpus() if installed is None else installed)
    if gpus_to_use is not None:
        if isinstance(gpus_to_use, (str, bytes)) or not checks.is_iterable(gpus_to_use):
            raise TypeError(f"gpus_to_use must be a list of positions, but got {gpus_to_use!r}")
        positions = [checks.integer("each position in gpus_to_use", position) for position in gpus_to_use]
        if not positions:
            raise ValueError(
                "gpus_to_use must name a GPU at least, but got none; leave it out for all GPUs or CPU slots"
            )
        if len(set(positions)) != len(positions) or not set(positions) <= set(range(len(gpus))):
            raise ValueError(
                f"gpus_to_use must name different positions among the {len(gpus)} visible GPUs, but got {positions}"
            )
        gpus = tuple(gpus[position] for position in positions)
    if gpus or device_type == "gpu" or gpus_to_use is not None:
        count = len(gpus) if num_devices is None else num_devices
        if not gpus:
            raise ValueError("device_type must be 'cpu' where no GPU is visible, but got 'gpu'")
        if count > len(gpus):
            raise ValueError(
                f"num_devices must be at most the {len(gpus)} GPUs that may be used, but got {num_devices}; "
                'use device_type="cpu" for CPU slots'
            )
        return Devices(gpus[:count])
    if device_type == "auto" and env is None and os.path.exists("/dev/kfd"):
        logger.warning(
            "This machine seems to have AMD GPUs, which are not supported: trials run on CPU slots, without GPUs."
        )
    if cores is None:
        cores, quota = tuple(os.sched_getaffinity(0)), cpu_quota()
    granted = len(cores) if quota is None else max(1, min(len(cores), int(quota)))
    return _cpu_slots(granted if num_devices is None else num_devices, sorted(cores), granted)


def _cpu_slots(num_slots: int, cores: Sequence[int], granted: int) -> Devices:
    """Shares the cores out to slots; with more slots than cores, slots share cores in turn."""
    share = max(1, len(cores) // num_slots)
    threads = max(1, min(share, granted // num_slots))
    slots = {
        f"cpu{slot}": tuple(cores[(slot * share + i) % len(cores)] for i in range(share)) for slot in range(num_slots)
    }
    return Devices(tuple(slots), slots, {} if threads == share else dict.fromkeys(slots, threads))
