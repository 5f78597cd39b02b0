"""The launch of a trial as values: one process for each rank, with its environment, cores and logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.filenames import rank_log_name
from syne_hypersched.launch import LaunchSpec, RankSpec, working_directory


def launch_spec(
    trial: TrialProcesses,
    environments: Sequence[tuple[Mapping[str, str], tuple[int, ...]]],
    warm: bool,
    grace_s: float,
) -> LaunchSpec:
    """The launch of a trial, in the working directory of the tuner.

    Parameters
    ----------
    trial
        The trial, with its command line and its logs.
    environments
        Environment and CPU cores of each rank; without cores the process is not pinned.
    warm
        Whether its processes are forked from the preloading server.
    grace_s
        Seconds from SIGTERM to SIGKILL.
    """
    ranks = tuple(
        RankSpec(
            env=dict(environment),
            stdout=str(trial.stdout_path.with_name(rank_log_name(trial.stdout_path.name, rank))),
            stderr=str(trial.stderr_path.with_name(rank_log_name(trial.stderr_path.name, rank))),
            cores=cores,
        )
        for rank, (environment, cores) in enumerate(environments)
    )
    return LaunchSpec(trial.argv, ranks, warm, grace_s, working_directory())
