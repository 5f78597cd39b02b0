"""The environment that trials inherit from the tuner: all variables except those for the tuner's own rank and world."""

from __future__ import annotations

from collections.abc import Mapping

from syne_hypersched import variables

#: Variables in which launchers tell a process its rank, its world, where to meet it and which devices of it are whose.
_RANK_AND_WORLD = frozenset(
    {
        # PyTorch, and what others have taken over from it
        "RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK", "ROLE_RANK", "ROLE_NAME", "WORLD_SIZE", "LOCAL_WORLD_SIZE",
        "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "NNODES", "NPROC_PER_NODE",
        "PET_NNODES", "PET_NPROC_PER_NODE", "PET_NODE_RANK", "PET_STANDALONE",
        "REPLICA_GROUP_ID", "NUM_REPLICA_GROUPS", "NCCL_COMM_ID",
        # DeepSpeed and Horovod
        "CROSS_RANK", "CROSS_SIZE", "LOCAL_SIZE", "HOROVOD_RANK", "HOROVOD_SIZE", "HOROVOD_LOCAL_RANK",
        "HOROVOD_LOCAL_SIZE", "HOROVOD_CROSS_RANK", "HOROVOD_CROSS_SIZE", "HOROVOD_HOSTNAME", "HOROVOD_ELASTIC",
        "HOROVOD_RENDEZVOUS_ADDR", "HOROVOD_RENDEZVOUS_PORT", "HOROVOD_CONTROLLER", "HOROVOD_SECRET_KEY",
        # Accelerate and Lightning
        "FORK_LAUNCHED", "LT_ACCELERATOR", "LT_DEVICES", "LT_NUM_NODES", "LT_STRATEGY", "LT_CLI_USED",
        "LIGHTNING_NUM_NODES", "LIGHTNING_NODE_RANK",
        # PaddlePaddle, beside what begins with its name
        "TRAINING_ROLE", "FLAGS_selected_gpus", "FLAGS_selected_xpus",
        # JAX, TensorFlow, MXNet and various kinds of MPI
        "JAX_PROCESS_ID", "JAX_NUM_PROCESSES", "JAX_COORDINATOR_ADDRESS", "JAX_LOCAL_DEVICE_IDS", "TF_CONFIG",
        "DMLC_ROLE", "DMLC_WORKER_ID", "DMLC_SERVER_ID", "DMLC_NUM_WORKER", "DMLC_NUM_SERVER", "DMLC_PS_ROOT_URI",
        "DMLC_PS_ROOT_PORT", "DMLC_TASK_ID", "DMLC_TRACKER_URI", "DMLC_TRACKER_PORT",
        "MPI_LOCALRANKID", "MPI_LOCALNRANKS", "MPI_RANKID", "MPIEXEC_RANK", "MPIRUN_RANK", "MPIRUN_NPROCS", "MP_CHILD",
        "ALPS_APP_PE",
        # Batch systems of clouds: the place of this node among those of the job
        "AWS_BATCH_JOB_NODE_INDEX", "AWS_BATCH_JOB_NUM_NODES", "JOB_COMPLETION_INDEX",
        # Slurm: what srun says of a step and of a task of it; what it says of the job stays
        "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_GTIDS", "SLURM_TASK_PID", "SLURM_NTASKS",
        "SLURM_NPROCS", "SLURM_TASKS_PER_NODE", "SLURM_LAUNCH_NODE_IPADDR", "SLURM_SRUN_COMM_HOST",
        "SLURM_SRUN_COMM_PORT", "SLURM_MPI_TYPE",
        # This package: the tuner may run in a trial of another one
        variables.NUM_DEVICES,
    }
)  # fmt: skip

#: Beginnings of such variables. What follows differs between versions, or is a socket to the launcher.
_PREFIXES = (
    "TORCHELASTIC_", "PET_RDZV_", "PET_MASTER_", "PARALLELISM_CONFIG_", "MEGATRON_LM_", "HOROVOD_GLOO_RENDEZVOUS_",
    "OMPI_COMM_WORLD_", "OMPI_UNIVERSE_", "OMPI_APP_CTX_", "OMPI_FIRST_RANKS", "OMPI_NUM_APP_CTX", "OMPI_FILE_LOCATION",
    "OMPI_MCA_orte_", "OMPI_MCA_prte_", "OMPI_MCA_ess", "OMPI_MCA_pmix", "OMPI_MCA_shmem_RUNTIME", "ORTE_", "PRTE_",
    "PMIX_", "PMI_", "PALS_", "HYDI_", "MPISPAWN_", "MV2_COMM_WORLD_", "JSM_NAMESPACE_", "FLUX_TASK_", "SLURM_STEP",
    "SLURM_NTASKS_PER_", "SLURM_PMI", "CRAY_PMI_", "SMDATAPARALLEL_",
    "ACCELERATE_", "FSDP_", "DEEPSPEED_", "PADDLE_", "AWS_BATCH_JOB_MAIN_NODE_",
)  # fmt: skip

#: Beginnings of variables of these families that say how a process computes by itself, and nothing of other processes.
_OWN_SETTINGS = (
    "ACCELERATE_MIXED_PRECISION", "ACCELERATE_DOWNCAST_BF16", "ACCELERATE_FP8_", "ACCELERATE_DYNAMO_",
    "ACCELERATE_LOG_LEVEL", "ACCELERATE_ENABLE_RICH", "ACCELERATE_INIT_INCLUDE_BUFFERS", "ACCELERATE_BYPASS_DEVICE_MAP",
)  # fmt: skip


def without_launcher(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that has been started by itself and not as a rank of something.

    The tuner may have been started by ``torchrun``, ``accelerate launch``, ``mpirun``, ``srun``, ``horovodrun`` or
    the like, with one rank or with many. With their variables, a trial would behave as a rank of the
    tuner's world and wait for the other ranks forever. What users set for their trials, such as ``NCCL_DEBUG``,
    ``OMPI_MCA_btl`` or ``SLURM_JOB_ID``, stays. ``accelerate launch`` also writes its options into variables, such as
    how the model of the tuner's world is sharded: only those stay that are about a process alone, such as its
    precision.
    """
    return {name: value for name, value in env.items() if not _is_of_launcher(name)}


def _is_of_launcher(name: str) -> bool:
    return name in _RANK_AND_WORLD or (name.startswith(_PREFIXES) and not name.startswith(_OWN_SETTINGS))
