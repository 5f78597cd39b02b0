"""The command ``tune``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from syne_hypersched._console import error_text

if TYPE_CHECKING:
    from syne_hypersched.tuning import TuneJob

EPILOGUE = """\
Examples:
  hypersched tune train.py --metric val_accuracy --max --resource epoch:81 \\
      --space 'lr=log(1e-4,1e-1)' 'width=[8,16]' --deadline 2h

  hypersched tune train.py --metric val_loss --min --resource epoch:27 \\
      --space space.toml --deadline 30m --devices gpu:4 --scheduler pasha

  On the nodes of a Ray cluster:
    hypersched tune train.py --metric val_loss --min --resource epoch:27 \\
        --space space.toml --deadline 2h --cluster auto --checkpoints /shared

  The same as a Python script, which you can change:
    hypersched tune train.py --metric val_loss --min --resource epoch:27 \\
        --space space.toml --deadline 30m --write-script launch.py

A space: NAME=DOMAIN (quote it for the shell), or a TOML file with such lines:
  lr = "log(1e-4, 1e-1)"     # on a logarithmic scale
  dropout = "uniform(0, 0.5)"
  layers = "int(1, 8)"       # both bounds included; logint: logarithmic
  width = [8, 16]            # one of these; "ordinal(8, 16)": in this order
  epochs = 81                # a constant, which the script gets

The script gets --NAME VALUE for each, and --st_checkpoint_dir. It reports with
syne_tune.Reporter, and continues from its checkpoint if there is one.

Exit codes: 0; 1 if too many trials have failed, or none has reported a finite
metric; 2 if an argument is invalid; 130 if interrupted.
"""

#: Options of the command line for parameters of backends, schedulers and tuners that have other names.
OPTIONS = {
    "script": "the script",
    "num_devices": "--devices",
    "device_type": "--devices",
    "devices_of": "--devices",
    "address": "--cluster",
    "checkpoint_path": "--checkpoints",
    "max_t": "--resource",
    "time_attr": "--resource",
    "config_space": "--space",
    "name_or_path": "--resume",
}

_WHAT = Group("What is tuned", sort_key=1)
_MACHINE = Group("Deadline and devices", sort_key=2)
_HOW = Group("How", sort_key=3)
_RUN = Group("Experiment", sort_key=4)


def tune(
    script: Annotated[Path | None, Parameter(group=_WHAT)] = None,
    /,
    *inline: Annotated[str, Parameter(group=_WHAT)],
    metric: Annotated[str | None, Parameter(group=_WHAT)] = None,
    maximize: Annotated[bool, Parameter(name="--max", group=_WHAT, show_default=False)] = False,
    minimize: Annotated[bool, Parameter(name="--min", group=_WHAT, show_default=False)] = False,
    resource: Annotated[str | None, Parameter(group=_WHAT)] = None,
    space: Annotated[tuple[str, ...], Parameter(group=_WHAT, consume_multiple=True)] = (),
    arguments: Annotated[str | None, Parameter(group=_WHAT, allow_leading_hyphen=True)] = None,
    deadline: Annotated[str | None, Parameter(group=_MACHINE)] = None,
    devices: Annotated[str, Parameter(group=_MACHINE)] = "all",
    cluster: Annotated[str | None, Parameter(group=_MACHINE)] = None,
    checkpoints: Annotated[Path | None, Parameter(group=_MACHINE)] = None,
    insecure: Annotated[bool, Parameter(group=_MACHINE, show_default=False)] = False,
    processes: Annotated[Literal["per_device", "single"], Parameter(group=_MACHINE)] = "per_device",
    scheduler: Annotated[str, Parameter(group=_HOW)] = "hypersched",
    searcher: Annotated[str | None, Parameter(group=_HOW)] = None,
    grace_period: Annotated[float | None, Parameter(group=_HOW)] = None,
    reduction_factor: Annotated[float | None, Parameter(group=_HOW)] = None,
    seed: Annotated[int | None, Parameter(group=_HOW)] = None,
    max_failures: Annotated[int, Parameter(group=_HOW)] = 5,
    name: Annotated[str | None, Parameter(group=_RUN)] = None,
    resume: Annotated[str | None, Parameter(group=_RUN)] = None,
    write_script: Annotated[Path | None, Parameter(group=_RUN)] = None,
) -> int:
    """Tune a training script by a deadline, on the devices of this machine.

    Ends with a table of the trials, a picture, and the folder of the best checkpoint.

    Parameters
    ----------
    script
        The training script.
    inline
        Entries of the space, as NAME=DOMAIN; the same as after --space.
    metric
        Name of the metric in the script's reports.
    maximize
        Maximise the metric.
    minimize
        Minimise the metric.
    resource
        Name of the entry that counts the training, and the level to which a trial is trained, such as epoch:81.
    space
        The search space: entries NAME=DOMAIN, TOML files, or both.
    arguments
        How the script is called, if not with --NAME VALUE: a template such as 'train lr={lr} {...}' (docs/scripts.md).
    deadline
        Time until everything has ended: 90s, 15m, 2h, 1h30m.
    devices
        all, a number, cpu, gpu, cpu:4 or gpu:2. all: the visible GPUs or, without GPUs, a slot for each core.
    cluster
        Tune on the nodes of a Ray cluster: auto, or its address. --devices is then all, a number, gpu:8, or a resource
        of Ray such as slot:4 (docs/cluster.md).
    checkpoints
        Folder for checkpoints that all nodes of the cluster can access.
    insecure
        Allow a cluster that other machines can reach without a token. Use it only on a private network.
    processes
        One process for each device of a trial, as with torchrun, or a single process that uses all of them.
    scheduler
        hypersched, hypersched-published, asha, asha-promotion or pasha.
    searcher
        random_search, joint, kde, bore, cqr, botorch or regularized_evolution (default: that of the scheduler, which is
        joint for hypersched if a hyperparameter has an order).
    grace_period
        Level of the first rung, where trials are first compared (default: that of the scheduler).
    reduction_factor
        One in this many trials is promoted from a rung (default: that of the scheduler).
    seed
        Seed of all random choices.
    max_failures
        Number of trials that may fail; one more ends the tuning.
    name
        Name of the experiment (default: that of the script and the date).
    resume
        Name or folder of an experiment to continue. Without other arguments, it continues unchanged. With all other
        arguments, these apply: for example, the deadline may be later.
    write_script
        Write the equivalent Python script to this file, and do not run it.
    """
    from syne_hypersched.cli._direction import warn_of_direction
    from syne_hypersched.cli._tuning import tune_and_report
    from syne_hypersched.cli._tuning import write_script as write

    try:
        if resume is not None and script is None:
            _only_resume(metric, resource, deadline, space, write_script)
            from syne_hypersched.experiments.resume import resume_and_print

            return resume_and_print(resume)
        job = _job(
            script, (*inline, *space), metric, maximize, minimize, resource, deadline, devices, arguments,
            cluster=cluster, checkpoints=checkpoints, insecure=insecure, processes=processes, scheduler=scheduler,
            searcher=searcher, grace_period=grace_period,
            reduction_factor=reduction_factor, seed=seed, max_failures=max_failures, name=name,
        )  # fmt: skip
        if resume is not None and (name is not None or write_script is not None):
            raise ValueError("--resume continues an experiment that has a name: leave out --name and --write-script")
        warn_of_direction("hypersched tune", job.metric, job.do_minimize, {True: "--min", False: "--max"})
        return tune_and_report(job, resume) if write_script is None else write(job, write_script)
    except BrokenPipeError:
        raise
    except (ValueError, TypeError, RuntimeError, OSError, ImportError) as error:
        print(f"hypersched tune: error: {_as_options(error)}", file=sys.stderr)
        return 2


def _job(
    script: Path | None,
    space: tuple[str, ...],
    metric: str | None,
    maximize: bool,
    minimize: bool,
    resource: str | None,
    deadline: str | None,
    devices: str,
    arguments: str | None,
    cluster: str | None,
    **options: object,
) -> TuneJob:
    from syne_hypersched.tuning import TuneJob, parse_duration, parse_resource, parse_space

    needed = {
        "the training script": script,
        "--metric NAME": metric,
        "--max or --min": maximize or minimize or None,
        "--resource NAME:LEVEL, such as epoch:81": resource,
        "--space, such as 'lr=log(1e-4,1e-1)'": space or None,
        "--deadline, such as 2h": deadline,
    }
    missing = [what for what, value in needed.items() if value is None]
    if missing or script is None or metric is None or resource is None or deadline is None:
        raise ValueError(f"missing: {'; '.join(missing)}")
    if maximize and minimize:
        raise ValueError("--max and --min exclude each other, but both are given")
    time_attr, max_t = parse_resource(resource)
    try:
        template = None if arguments is None else tuple(shlex.split(arguments))
    except ValueError as error:
        raise ValueError(f"--arguments must be what a shell can split, but is not ({error}): {arguments!r}") from None
    return TuneJob(
        script=script,
        space=parse_space(space),
        metric=metric,
        do_minimize=minimize,
        time_attr=time_attr,
        max_t=max_t,
        deadline_s=parse_duration(deadline),
        cluster=cluster,
        arguments=template,
        **_devices(devices, cluster),
        **options,  # type: ignore[arg-type]
    )


def _devices(text: str, cluster: str | None) -> dict[str, Any]:
    from syne_hypersched.tuning import parse_cluster_devices, parse_devices

    if cluster is None:
        device_type, num_devices = parse_devices(text)
        return {"device_type": device_type, "num_devices": num_devices}
    resource, num_devices = parse_cluster_devices(text)
    return {"devices_of": resource, "num_devices": num_devices}


def _as_options(error: BaseException) -> str:
    """The text of an error, with options of the command line in place of Python arguments."""
    text = error_text(error, **OPTIONS).replace("With strict=False", "With hypersched resume RUN --not-strict")
    return text.replace("insecure=True", "--insecure").replace('device_type="cpu"', "--devices cpu")


def _only_resume(*others: object) -> None:
    if any(other for other in others):
        raise ValueError(
            "--resume alone continues an experiment unchanged; to change a setting, also give the training script and "
            "all other arguments"
        )
