"""Describes what is tuned, how, and until when."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from syne_hypersched import checks
from syne_hypersched.tuning._space import SpaceEntry

SCHEDULERS = {
    "hypersched": ("HyperSched", {}),
    "hypersched-published": ("HyperSched", {"strategy": "published"}),
    "asha": ("ASHA", {"type": "stopping"}),
    "asha-promotion": ("ASHA", {"type": "promotion"}),
    "pasha": ("PASHA", {}),
}
"""Names of the schedulers: the class, and the arguments that the name implies."""

SEARCHERS = ("random_search", "joint", "kde", "bore", "cqr", "botorch", "regularized_evolution")
"""Names of the searchers that can be given on the command line."""

DeviceKind = Literal["auto", "cpu", "gpu"]
_DEVICES = re.compile(r"(?:(?P<kind>cpu|gpu)(?::(?P<count>\d+))?|(?P<all>all)|(?P<number>\d+))")
_CLUSTER_DEVICES = re.compile(r"(?:(?P<name>[A-Za-z_][\w.-]*)(?::(?P<count>\d+))?|(?P<number>\d+))")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[dhms])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])")
_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_NAME = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")
_LONGEST_NAME = 63


@dataclass(frozen=True, kw_only=True)
class TuneJob:
    """A tuning on this machine.

    .. code-block:: python

        space = parse_space(["lr=log(1e-4,1e-1)", "width=[8,16]"])
        job = TuneJob(
            Path("train.py"), space, metric="loss", do_minimize=True, time_attr="epoch", max_t=81, deadline_s=3600.0
        )
        tuner = make_tuner(job)
        tuner.run()

    Parameters
    ----------
    script
        The script to tune.
    space
        The search space, and constants for the script.
    metric
        Name of the metric in a report.
    do_minimize
        Whether the metric is to be minimised.
    time_attr
        Name of the resource level in a report.
    max_t
        Level to which a trial is trained.
    deadline_s
        Seconds after the start by which everything has ended.
    device_type
        ``"gpu"``, ``"cpu"``, or ``"auto"``: GPUs if any is visible, else CPU slots.
    num_devices
        Number of devices to use, by default all.
    cluster
        Address of a Ray cluster, ``auto`` for the cluster of this machine; None: use only this machine.
    devices_of
        The Ray resource that counts as a device, with :attr:`cluster`.
    checkpoints
        Folder for checkpoints that all nodes can access, with :attr:`cluster`.
    insecure
        Whether a cluster that requires no token may be used, with :attr:`cluster`.
    processes
        Whether a trial with several devices has one process for each device.
    arguments
        Template of the script's arguments; by default ``--name value`` for all.
    scheduler
        A name of :const:`SCHEDULERS`.
    searcher
        A name of :const:`SEARCHERS`; None: the scheduler chooses.
    grace_period
        Level of the lowest rung; None: the scheduler chooses.
    reduction_factor
        One in this many trials is kept at a rung; None: the scheduler chooses.
    seed
        Seed of all random choices; None: drawn from the operating system.
    max_failures
        Number of trials that may fail; one more ends the tuning.
    name
        Name of the experiment; by default, the name of the script with the date.

    Raises
    ------
    TypeError, ValueError
        A member is invalid; the message names the option of the command line.
    """

    script: Path
    space: tuple[SpaceEntry, ...]
    metric: str
    do_minimize: bool
    time_attr: str
    max_t: float
    deadline_s: float
    device_type: DeviceKind = "auto"
    num_devices: int | None = None
    cluster: str | None = None
    devices_of: str = "GPU"
    checkpoints: Path | None = None
    insecure: bool = False
    processes: Literal["per_device", "single"] = "per_device"
    arguments: tuple[str, ...] | None = None
    scheduler: str = "hypersched"
    searcher: str | None = None
    grace_period: float | None = None
    reduction_factor: float | None = None
    seed: int | None = None
    max_failures: int = 5
    name: str | None = None

    def __post_init__(self) -> None:
        if not self.script.is_file():
            kind = "is a folder" if self.script.is_dir() else "does not exist"
            raise ValueError(f"the script must be an existing file, but {str(self.script)!r} {kind}")
        checks.text("--metric", self.metric, "the name of an entry of the script's reports")
        if self.metric == self.time_attr:
            raise ValueError(f"--metric and --resource must be different entries, but both are {self.metric!r}")
        for entry in self.space:
            if entry.name == self.metric or (entry.name == self.time_attr and not entry.is_constant):
                option = "--metric" if entry.name == self.metric else "--resource"
                raise ValueError(
                    f"--space must have other names than {option}, which the script reports, but has {entry.name!r}"
                )
        checks.positive_seconds("--deadline", self.deadline_s)
        if self.num_devices is not None:
            checks.integer("--devices", self.num_devices, at_least=1)
        _known("--scheduler", self.scheduler, SCHEDULERS)
        if self.searcher is not None:
            _known("--searcher", self.searcher, SEARCHERS)
        _known("--processes", self.processes, ("per_device", "single"))
        if self.cluster is None and self.checkpoints is not None:
            raise ValueError("--checkpoints is for --cluster: on one machine, they are in the experiment's folder")
        if self.checkpoints is not None:
            checks.folder("--checkpoints", self.checkpoints)
        if self.cluster is None and self.insecure:
            raise ValueError("--insecure is for --cluster, but there is none")
        if self.cluster is not None:
            checks.text("--cluster", self.cluster, "the address of a Ray cluster, or auto")
            checks.text("--devices", self.devices_of, "a resource of Ray")
        if self.seed is not None:
            checks.integer("--seed", self.seed, at_least=0)
        checks.integer("--max-failures", self.max_failures, at_least=0)
        if self.grace_period is not None:
            rule = f"a number above 0 and at most the {self.max_t:g} of --resource"
            checks.number("--grace-period", self.grace_period, rule, above=0.0, at_most=self.max_t)
        if self.reduction_factor is not None:
            checks.number("--reduction-factor", self.reduction_factor, "a finite number above 1", above=1.0)
        if self.name is not None and not (_NAME.fullmatch(self.name) and len(self.name) <= _LONGEST_NAME):
            raise ValueError(
                f"--name must be letters and digits, possibly separated by '-', at most {_LONGEST_NAME}, but got "
                f"{self.name!r}"
            )

        if self.arguments is not None:
            from syne_hypersched.backends.local import check_arguments

            check_arguments(self.arguments, {entry.name: entry.example() for entry in self.space})

    @property
    def base_name(self) -> str:
        """Name of the experiment, or the part before the date."""
        return self.name or (re.sub(r"[^A-Za-z0-9]+", "-", self.script.stem).strip("-") or "tuning")[:30]

    @property
    def config_space(self) -> dict[str, Any]:
        """The space in Syne Tune's form."""
        return {entry.name: entry.domain() for entry in self.space}

    def scheduler_call(self) -> tuple[str, dict[str, Any]]:
        """The class of the scheduler, and its arguments after the space."""
        name, implied = SCHEDULERS[self.scheduler]
        optional = {
            "searcher": self.searcher,
            "grace_period": self.grace_period,
            "reduction_factor": self.reduction_factor,
            "random_seed": self.seed,
        }
        return name, {
            "metric": self.metric,
            "time_attr": self.time_attr,
            "max_t": self.max_t,
            "do_minimize": self.do_minimize,
            **implied,
            **{key: value for key, value in optional.items() if value is not None},
        }

    def backend_call(self) -> tuple[str, dict[str, Any]]:
        """The class of the backend, and its arguments after the script that differ from the defaults."""
        arguments: dict[str, Any] = {}
        if self.num_devices is not None:
            arguments["num_devices"] = self.num_devices
        if self.cluster not in (None, "auto"):
            arguments["address"] = self.cluster
        if self.devices_of != "GPU":
            arguments["devices_of"] = self.devices_of
        if self.checkpoints is not None:
            arguments["checkpoint_path"] = str(self.checkpoints.resolve())
        if self.insecure:
            arguments["insecure"] = True
        if self.device_type != "auto":
            arguments["device_type"] = self.device_type
        if self.processes != "per_device":
            arguments["processes"] = self.processes
        if self.arguments is not None:
            arguments["arguments"] = list(self.arguments)
        return "ElasticLocalBackend" if self.cluster is None else "ElasticRayBackend", arguments

    def tuner_arguments(self) -> dict[str, Any]:
        """The arguments of the tuner that are plain values."""
        named = {"tuner_name": self.base_name} | ({} if self.name is None else {"suffix_tuner_name": False})
        return {"max_failures": self.max_failures, **named}


def parse_resource(text: str) -> tuple[str, float]:
    """Reads ``epoch:81``: the entry of the reports that counts the training, and the level to which a trial trains.

    Raises
    ------
    TypeError
        ``text`` is not a string.
    ValueError
        The text has another form, or the level is not a positive number.
    """
    name, colon, level = _written("--resource", text).rpartition(":")
    try:
        max_t = float(level) if colon and name else math.nan
    except ValueError:
        max_t = math.nan
    if not (math.isfinite(max_t) and max_t > 0):
        raise ValueError(
            "--resource must be the entry of the reports that counts the training and the level to which a trial "
            f"trains, such as epoch:81, but got {text!r}"
        )
    return name, int(max_t) if max_t.is_integer() else max_t


def parse_duration(text: str, option: str = "--deadline") -> float:
    """Seconds from ``90``, ``90s``, ``15m``, ``2h``, ``1h30m`` or ``1d``.

    Parameters
    ----------
    text
        The duration; a number without a unit is in seconds.
    option
        Option of the command line, for error messages.

    Raises
    ------
    TypeError
        ``text`` is not a string.
    ValueError
        The text has none of these forms, or the time is not positive.
    """
    spelled = _written(option, text).strip().lower().replace(" ", "")
    seconds = math.nan
    if _DURATION.fullmatch(spelled):
        seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(spelled))
    else:
        try:
            seconds = float(spelled)
        except ValueError:
            seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"{option} must be a positive time such as 90s, 15m, 2h or 1h30m, but got {text!r}")
    return seconds


def parse_devices(text: str) -> tuple[DeviceKind, int | None]:
    """Kind and number of devices from ``all``, ``8``, ``cpu``, ``cpu:4``, ``gpu`` or ``gpu:2``; None means all.

    Raises
    ------
    TypeError
        ``text`` is not a string.
    ValueError
        The text has none of these forms, or the number is 0.
    """
    found = _DEVICES.fullmatch(_written("--devices", text).strip().lower())
    count = None if found is None else found["number"] or found["count"]
    if found is None or (count is not None and int(count) < 1):
        raise ValueError(f"--devices must be all, a number, cpu, gpu, cpu:4 or gpu:2, but got {text!r}")
    kind: DeviceKind = "cpu" if found["kind"] == "cpu" else "gpu" if found["kind"] == "gpu" else "auto"
    return kind, None if count is None else int(count)


def parse_cluster_devices(text: str) -> tuple[str, int | None]:
    """The resource of Ray and the number from ``all``, ``8``, ``gpu``, ``gpu:8``, ``slot`` or ``slot:4``.

    Raises
    ------
    TypeError
        ``text`` is not a string.
    ValueError
        The text has none of these forms, or the number is 0.
    """
    found = _CLUSTER_DEVICES.fullmatch(_written("--devices", text).strip())
    count = None if found is None else found["number"] or found["count"]
    if found is None or (count is not None and int(count) < 1):
        raise ValueError(
            f"--devices with --cluster must be all, a number, gpu, gpu:8, or a resource of Ray such as slot:4, but got "
            f"{text!r}"
        )
    name = found["name"] or "GPU"
    return "GPU" if name.lower() in ("gpu", "all") else name, None if count is None else int(count)


def _written(option: str, text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{option} must be a text, but got {text!r}")
    return text


def _known(option: str, name: str, choices: Iterable[str]) -> None:
    choices = list(choices)
    if name not in choices:
        _unknown(option, name, choices)


def _unknown(option: str, name: str, choices: list[str]) -> NoReturn:
    near = difflib.get_close_matches(name, choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{option} must be one of {', '.join(choices)}, but got {name!r}{hint}")
