"""What a training script sees of its devices: standard environment variables, and one of ours with their number."""

from __future__ import annotations

from collections.abc import Mapping

from syne_hypersched import variables
from syne_hypersched.backends.machine._free_port import free_port
from syne_hypersched.backends.machine._inherited import without_launcher
from syne_hypersched.backends.machine.discovery import Devices

#: Variables that say which GPUs a process sees: of CUDA, and of AMD's two layers. None if empty.
_GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")

#: Variables with the number of threads of single libraries, which count before OMP_NUM_THREADS.
_OWN_THREADS = (
    "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS",
)  # fmt: skip


def rank_environments(
    devices: Devices, held: tuple[str, ...], per_device: bool, inherited: Mapping[str, str]
) -> list[tuple[dict[str, str], tuple[int, ...]]]:
    """Environment and CPU cores for each process of a launch.

    Parameters
    ----------
    devices
        All devices of the backend.
    held
        Those that the launch holds.
    per_device
        Whether each device gets a process of its own, with the environment of ``torch.distributed``, also where there
        is only one: a script for ``torchrun`` expects it. Otherwise one process sees all devices and divides the work
        itself. It has no rank then, because libraries that find one would use only the first device.
    inherited
        Environment of the tuner.

    Returns
    -------
    list of (dict, tuple of int)
        One entry for each rank; no cores: the process is not pinned.
    """
    env = without_launcher(inherited) | _no_gpus(devices)
    if devices.are_gpus:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(held)
    env[variables.NUM_DEVICES] = str(len(held))
    num_ranks = len(held) if per_device else 1
    if per_device:
        env |= dict.fromkeys((variables.WORLD_SIZE, variables.LOCAL_WORLD_SIZE), str(num_ranks))
        env |= {variables.MASTER_ADDR: "127.0.0.1", variables.MASTER_PORT: str(free_port())}
        env.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all ranks are here, and a host name may not resolve
    ranks = []
    for rank in range(num_ranks):
        rank_env = dict(env)
        if per_device:
            rank_env |= dict.fromkeys((variables.RANK, variables.LOCAL_RANK), str(rank))
        own = held[rank : rank + 1] if per_device else held
        cores = tuple(sorted({core for device in own for core in devices.cores.get(device, ())}))
        rank_env |= _thread_variables(devices.num_threads(own), inherited)
        ranks.append((rank_env, cores))
    return ranks


def server_environment(devices: Devices, inherited: Mapping[str, str]) -> dict[str, str]:
    """Environment of the server that loads libraries for trials: theirs, as far as it is the same for all of them.

    It sees the GPUs that the tuner sees, which trials share out, and libraries that are loaded in it have as many
    threads as those of a trial on one device.
    """
    threads = _thread_variables(devices.num_threads(devices.names[:1]), inherited)
    return without_launcher(inherited) | _no_gpus(devices) | threads


def _no_gpus(devices: Devices) -> dict[str, str]:
    """Hides GPUs where devices are CPU slots: else all trials would take the first one, and second ranks the second.

    Accelerate, and with it Hugging Face's trainer, connects processes on CPUs only if it is told that there is no GPU;
    otherwise each of them trains a model of its own.
    """
    return {} if devices.are_gpus else {**dict.fromkeys(_GPU_VARIABLES, ""), "ACCELERATE_USE_CPU": "true"}


def _thread_variables(num_threads: int | None, inherited: Mapping[str, str]) -> dict[str, str]:
    """Variables that set the number of threads of BLAS and OpenMP libraries; smaller values of the user are kept."""
    if num_threads is None:
        return {}
    threads = {"OMP_NUM_THREADS": str(num_threads)}
    for name in _OWN_THREADS:
        wanted = inherited.get(name, "")
        if wanted.isdigit() and int(wanted) > num_threads:
            threads[name] = str(num_threads)
    return threads
