"""The settings of a study: plain values that are checked when they are created, and stored as JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from syne_hypersched.comparison.names import folder_name, unknown_name

BACKENDS = ("simulator", "local")

_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?P<number>[0-9.eE+-]+)\s*(?P<unit>[a-z%]*)")


@dataclass(frozen=True)
class Duration:
    """A time, in seconds or in median full runs. A full run trains one configuration to the end on one device."""

    number: float
    unit: str = "s"
    """``"s"``, ``"x"`` (full runs) or ``"%"`` (of a full run)."""

    def __post_init__(self) -> None:
        if self.unit not in ("s", "x", "%"):
            raise ValueError(f"unit must be 's', 'x' or '%', but got {self.unit!r}")
        if not (math.isfinite(self.number) and self.number >= 0):
            raise ValueError(f"a duration must be finite and not negative, but got {self.number!r}")

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Reads ``"90"``, ``"90s"``, ``"15m"``, ``"2h"``, ``"0.5x"`` or ``"1%"``.

        Raises
        ------
        ValueError
            The text has none of these forms.
        """
        match = _DURATION.fullmatch(text.strip())
        try:
            if match is None:
                raise ValueError(text)
            number, unit = float(match["number"]), match["unit"]
            return cls(number, unit) if unit in ("x", "%") else cls(number * _UNITS_S[unit])
        except (KeyError, ValueError):
            raise ValueError(
                f"a duration must be seconds (90, 15m, 2h), full runs (0.5x) or a share of one (1%), but got {text!r}"
            ) from None

    def in_seconds(self, full_run_s: float | None) -> float:
        """The number of seconds, given that of a median full run.

        Raises
        ------
        ValueError
            The duration is relative to a full run, whose length is unknown (``full_run_s`` is None).
        """
        if self.unit == "s":
            return self.number
        if full_run_s is None:
            raise ValueError(f"{self} must be given in seconds, since the length of a full run is not known beforehand")
        return self.number * full_run_s * (0.01 if self.unit == "%" else 1.0)

    def __str__(self) -> str:
        return f"{str(float(self.number)).removesuffix('.0')}{self.unit}"


@dataclass(frozen=True)
class TableFile:
    """A user's own table of learning curves, with a row for each configuration and epoch."""

    path: str
    metric: str
    do_minimize: bool
    time_attr: str = "epoch"
    elapsed_time_attr: str = "elapsed_s"
    configuration: tuple[str, ...] | None = None
    """Columns of the hyperparameters. Default: all columns except times and ``metric``."""
    sha256: str = ""
    """Digest of the files, so that results of different tables are never mixed."""
    epoch_time_attr: str | None = None
    """Column of the seconds of each epoch, instead of the seconds so far."""
    seed_attr: str | None = None
    """Column of the repetition, if configurations were trained several times."""
    configs_path: str | None = None
    """A second file, with one line for each configuration."""
    config_id: str | None = None
    """The column on which the two files are joined; by default ``config_id``."""
    where: tuple[tuple[str, str], ...] | None = None
    """Columns and values: only lines with these values are read."""


@dataclass(frozen=True)
class Scenario:
    """One problem and one machine, and the schedulers that are compared on them."""

    benchmark: str
    """Name of a table or, with the local backend, of a training script."""
    num_devices: int
    schedulers: tuple[str, ...]
    scaling: str | None = "resnet50"
    """Name of a scaling table, or a table such as ``"1:1,2:1.8"``; None with the local backend, which measures it."""
    launch_cost: Duration | None = field(default_factory=lambda: Duration(1, "%"))
    """Cost of each start, resume and resize; None on the local backend."""
    relaunch_cost: Duration | None = None
    """Cost of each resume, and of each resize that is a launch. None: the same as a start."""
    join_cost: Duration | None = None
    """How long training stops at each resize in which processes join or leave while the trial goes on training. New
    processes need as long as a launch to become ready. None: a resize is a launch."""
    pool: str | None = None
    """Changes of the number of devices: pairs of a share of the deadline and a share of the devices that exist from
    then on, as in ``"0.3:0.5,0.6:1"``. None: all devices always exist."""

    def __post_init__(self) -> None:
        if self.pool is not None:
            self.devices_over_time(1.0)
        if self.num_devices < 1:
            raise ValueError(f"num_devices must be at least 1, but got {self.num_devices!r}")
        for name in ("relaunch_cost", "join_cost"):
            if self.launch_cost is None and (cost := getattr(self, name)) is not None:
                raise ValueError(f"{name} must be None if launch_cost is None, but got {cost}")
        if not self.schedulers:
            raise ValueError("schedulers must have at least one name, but got none")
        _check_distinct("schedulers", self.schedulers)

    def devices_over_time(self, deadline_s: float) -> list[tuple[float, int]]:
        """Times (s) and the numbers of devices from these times on; empty if all devices always exist.

        Raises
        ------
        ValueError
            :attr:`pool` does not have this form.
        """
        pairs = [] if self.pool is None else [entry.split(":") for entry in self.pool.split(",")]
        try:
            shares = [(float(when), float(share)) for when, share in pairs]
        except ValueError:
            raise ValueError(f"pool must be written as 0.3:0.5,0.6:1, but got {self.pool!r}") from None
        if not all(0 <= when <= 1 and 0 <= share <= 1 for when, share in shares):
            raise ValueError(f"pool must have shares from 0 to 1, but got {self.pool!r}")
        return [(when * deadline_s, round(share * self.num_devices)) for when, share in shares]

    @property
    def launches(self) -> str | None:
        """Costs of launches, and of resizes that are not launches, as in ``"1%"``, ``"5%+2%"`` and ``"5%/0.1%"``."""
        if self.launch_cost is None:
            return None
        later = "" if self.relaunch_cost is None else f"+{self.relaunch_cost}"
        return f"{self.launch_cost}{later}" + ("" if self.join_cost is None else f"/{self.join_cost}")

    @property
    def name(self) -> str:
        """A short name: all settings except the schedulers."""
        parts = [self.benchmark, f"{self.num_devices} devices"]
        if self.scaling is not None:
            parts.append(f"scaling {self.scaling}")
        if self.launch_cost is not None:
            parts.append(f"launch cost {self.launches}")
        if self.pool is not None:
            parts.append(f"pool {self.pool}")
        return ", ".join(parts)

    def name_beside(self, base: Scenario) -> str:
        """A short name: the differences from another scenario; the whole name if there are no differences."""
        parts = [self.benchmark] if self.benchmark != base.benchmark else []
        if self.num_devices != base.num_devices:
            parts.append(f"{self.num_devices} devices")
        if self.scaling != base.scaling:
            parts.append(f"scaling {self.scaling}")
        if self.launches != base.launches:
            parts.append(f"launch cost {self.launches}")
        if self.pool != base.pool:
            parts.append("all devices always there" if self.pool is None else f"pool {self.pool}")
        return ", ".join(parts) or self.name

    @property
    def folder(self) -> str:
        """Name of the folder with its runs."""
        pool = None if self.pool is None else f"pool-{self.pool}"
        parts = (self.benchmark, f"{self.num_devices}dev", self.scaling, self.launches, pool)
        return "-".join(folder_name(str(part)) for part in parts if part is not None)


@dataclass(frozen=True)
class Study:
    """All settings that determine the results."""

    scenarios: tuple[Scenario, ...]
    deadlines: tuple[Duration, ...]
    seeds: tuple[int, ...]
    reference: str
    """The scheduler that the others are compared with, seed by seed."""
    preset: str = "default"
    backend: str = "simulator"
    max_num_trials: int | None = None
    """A simulated run ends when one more trial than this would start."""
    table: TableFile | None = None
    """The table of the benchmark ``"table"``."""
    max_t: int | None = None
    """Epochs that a training script trains, with the local backend; by default the script's own number."""
    script_options: tuple[tuple[str, str], ...] = ()
    """Options of the training script, with the local backend."""

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise unknown_name("backend", self.backend, BACKENDS)
        for what, values in (("scenarios", self.scenarios), ("deadlines", self.deadlines), ("seeds", self.seeds)):
            if not values:
                raise ValueError(f"{what} must not be empty")
        _check_distinct("scenarios", [scenario.folder for scenario in self.scenarios])
        _check_distinct("deadlines", self.deadlines)
        _check_distinct("seeds", self.seeds)
        if any(deadline.number <= 0 for deadline in self.deadlines):
            raise ValueError(f"deadlines must be positive, but got {', '.join(map(str, self.deadlines))}")
        if any(seed < 0 for seed in self.seeds):
            raise ValueError(f"seeds must not be negative, but got {self.seeds!r}")
        for what, number in (("max_num_trials", self.max_num_trials), ("max_t", self.max_t)):
            if number is not None and number < 1:
                raise ValueError(f"{what} must be at least 1, but got {number!r}")
        for what, given, backend in (
            ("max_num_trials", self.max_num_trials is not None, "simulator"),
            ("table", self.table is not None, "simulator"),
            ("max_t", self.max_t is not None, "local"),
            ("script_options", bool(self.script_options), "local"),
        ):
            if given and self.backend != backend:
                raise ValueError(f"{what} is for the backend {backend!r}, but the backend is {self.backend!r}")
        for scenario in self.scenarios:
            if self.reference not in scenario.schedulers:
                raise unknown_name("reference", self.reference, scenario.schedulers)

    def as_json(self) -> dict[str, Any]:
        """The study as values of JSON."""
        return {name: _as_json(value) for name, value in vars(self).items()}


def _check_distinct(what: str, values: Sequence[Any]) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f"{what} must differ from each other, but {value} is given twice")


_NAMED_WHERE_USED = frozenset(
    ("relaunch_cost", "join_cost", "pool", "epoch_time_attr", "seed_attr", "configs_path", "config_id", "where")
)


def _as_json(value: Any) -> Any:
    if isinstance(value, Duration):
        return str(value)
    if isinstance(value, tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, (Scenario, TableFile)):
        # Settings added later are stored only if they are used, so that earlier studies can be continued.
        return {
            name: _as_json(item)
            for name, item in vars(value).items()
            if item is not None or name not in _NAMED_WHERE_USED
        }
    return value
