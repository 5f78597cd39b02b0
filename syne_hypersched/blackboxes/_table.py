"""Learning curves in memory, as a blackbox."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from syne_tune.config_space import randint, uniform

from syne_hypersched import checks
from syne_hypersched._wording import counted
from syne_hypersched.blackboxes._checks import check_members, check_words, checked_levels, curve_lengths
from syne_hypersched.blackboxes._curve import LEAST_EPOCH_S, LearningCurve
from syne_hypersched.blackboxes._space import UnitCube, infer_domain

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

Lookup: TypeAlias = Literal["exact", "nearest"]
"""The result for a configuration that is not in the table: an error (``"exact"``), or the nearest row."""


class TableBlackbox:
    """Learning curves of a finite number of configurations.

    >>> loss, elapsed_s = [[0.9, 0.7], [0.8, 0.5]], [[1.0, 2.0], [1.5, 3.0]]
    >>> table = TableBlackbox([{"lr": 0.1}, {"lr": 0.01}], {"loss": loss}, elapsed_s)
    >>> table
    TableBlackbox('table': 2 configurations, 2 levels, 1 repetition, metrics loss)
    >>> table.best("loss", do_minimize=True)
    0.5

    It has the members of Syne Tune's ``Blackbox``, so Syne Tune's own simulator accepts it as well.

    Parameters
    ----------
    configurations
        The rows of the table, each with the same hyperparameters.
    metrics
        Values of each metric, in arrays of shape ``(rows, levels)`` or ``(rows, repetitions, levels)``.
    elapsed_s
        Seconds trained so far on one device, as an array of the same shape. They must not decrease along the levels. A
        curve ends where the seconds become NaN. Before that, metrics may be NaN, as in reports of a diverged training.
    levels
        Resource levels, ascending; by default 1, 2, ...
    configuration_space
        Domain of each hyperparameter; by default inferred from the rows by
        :func:`~syne_hypersched.blackboxes.infer_domain`.
    time_attr, elapsed_time_attr
        Names of the resource level and of the seconds.
    speed_up
        Measured speed-up by number of devices of each row, if it is known.
    lookup
        ``"exact"``: only the configurations of the table can be looked up. ``"nearest"``: for any other configuration,
        the nearest row in the unit cube of the configuration space is used (see ``UnitCube``); in a tie, the first one.
    name, description
        Name and description, for titles and messages.
    is_synthetic
        Whether the curves were invented and not measured.

    Raises
    ------
    TypeError
        An argument has the wrong type; the message names it.
    ValueError
        Shapes do not match, a configuration occurs twice, a time is missing, or times decrease; the message names the
        row.
    """

    def __init__(
        self,
        configurations: Sequence[Mapping[str, Any]],
        metrics: Mapping[str, npt.ArrayLike],
        elapsed_s: npt.ArrayLike,
        *,
        levels: Sequence[float] | None = None,
        configuration_space: Mapping[str, Any] | None = None,
        time_attr: str = "epoch",
        elapsed_time_attr: str = "elapsed_s",
        speed_up: Sequence[Mapping[int, float] | None] | None = None,
        lookup: Lookup = "nearest",
        name: str = "table",
        description: str = "",
        is_synthetic: bool = False,
    ) -> None:
        check_members(configurations, metrics, configuration_space, time_attr, elapsed_time_attr)
        checks.one_of("lookup", lookup, get_args(Lookup))
        check_words(name, description, speed_up, metrics)
        is_synthetic = checks.truth("is_synthetic", is_synthetic)
        self.name, self.description, self.is_synthetic, self.lookup = name, description, is_synthetic, lookup
        self.time_attr, self.elapsed_time_attr = time_attr, elapsed_time_attr
        self.configurations = [{key: _plain(value) for key, value in row.items()} for row in configurations]
        self._elapsed_s = _three_dimensional("elapsed_s", elapsed_s, len(self.configurations))
        self._metrics = {
            metric: _three_dimensional(f"metric {metric!r}", values, len(self.configurations), self._elapsed_s.shape)
            for metric, values in metrics.items()
        }
        if not self._metrics:
            raise ValueError("metrics must name at least one metric, but got none")
        if {time_attr, elapsed_time_attr} & set(self._metrics) or time_attr == elapsed_time_attr:
            raise ValueError(
                f"time_attr, elapsed_time_attr and the metrics must have different names, but are {time_attr!r}, "
                f"{elapsed_time_attr!r} and {', '.join(self._metrics)}"
            )
        num_levels = self._elapsed_s.shape[2]
        self.levels = checked_levels(range(1, num_levels + 1) if levels is None else levels, num_levels)
        self._lengths = curve_lengths(self._elapsed_s)
        self._index = _index(self.configurations)
        names = list(self.configurations[0])
        if configuration_space is None:
            configuration_space = {key: infer_domain([row[key] for row in self.configurations]) for key in names}
        elif set(configuration_space) != set(names):
            raise ValueError(
                f"configuration_space must have the hyperparameters of the table, {', '.join(names)}, "
                f"but has {', '.join(configuration_space)}"
            )
        self.configuration_space = dict(configuration_space)
        if speed_up is not None and len(speed_up) != len(self.configurations):
            raise ValueError(f"speed_up must have {len(self.configurations)} entries, but has {len(speed_up)}")
        self._speed_up = speed_up
        self._cube: UnitCube | None = None
        self._curves: dict[tuple[int, int], LearningCurve] = {}

    def __len__(self) -> int:
        return len(self.configurations)

    def __repr__(self) -> str:
        return (
            f"TableBlackbox({self.name!r}: {counted(len(self), 'configuration')}, "
            f"{counted(len(self.levels), 'level')}, "
            f"{counted(self.num_seeds, 'repetition')}, metrics {', '.join(self.metrics)})"
        )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_curves": {}, "_cube": None}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics."""
        return tuple(self._metrics)

    @property
    def num_seeds(self) -> int:
        """Number of repetitions of each row; ``seed`` counts them from 0."""
        return int(self._elapsed_s.shape[1])

    # Look-up.

    def row(self, config: Mapping[str, Any]) -> int:
        """Index of the row for a configuration. Entries that are not hyperparameters are ignored.

        Raises
        ------
        ValueError
            A hyperparameter is missing, or ``lookup`` is ``"exact"`` and the configuration is not in the table.
        """
        try:
            key = tuple(map(config.__getitem__, self.configurations[0]))
        except KeyError as error:
            raise ValueError(f"config must have the hyperparameter {error.args[0]!r}, but is {dict(config)}") from None
        row = self._index.get(key)
        if row is not None:
            return row
        if self.lookup == "exact":
            raise ValueError(
                f"config must be one of the {len(self)} configurations of {self.name!r} (or use lookup='nearest'), "
                f"but got {dict(config)}"
            )
        if self._cube is None:
            self._cube = UnitCube(self.configuration_space, self.configurations)
        return self._cube.nearest(config)

    def learning_curve(
        self, config: Mapping[str, Any], max_resource: float | None = None, seed: int = 0
    ) -> LearningCurve:
        """The curve of the row for a configuration.

        Raises
        ------
        ValueError
            See :meth:`row`; or there is no repetition ``seed``, or the repetition has no curve.
        """
        key = (self.row(config), seed)
        curve = self._curves.get(key)
        if curve is None:
            curve = self._curves[key] = self._make_curve(*key)
        return curve if max_resource is None else curve.up_to(max_resource, self.time_attr)

    def _make_curve(self, row: int, seed: int) -> LearningCurve:
        self._check_seed(seed)
        length = int(self._lengths[row, seed])
        if not length:
            raise ValueError(f"{self.name!r} has no curve for {self.configurations[row]} in repetition {seed}")
        elapsed_s = self._elapsed_s[row, seed, :length]
        columns = [values[row, seed, :length].tolist() for values in self._metrics.values()]
        names = (self.time_attr, *self._metrics)
        reports = tuple(
            [dict(zip(names, row, strict=True)) for row in zip(self.levels[:length], *columns, strict=True)]
        )
        steps_s = np.diff(elapsed_s.astype(np.float64), prepend=0.0)
        epoch_s = tuple(np.maximum(steps_s, LEAST_EPOCH_S).tolist())
        return LearningCurve(reports, epoch_s, None if self._speed_up is None else self._speed_up[row])

    def _check_seed(self, seed: int) -> None:
        if not 0 <= seed < self.num_seeds:
            raise ValueError(f"seed must be from 0 to {self.num_seeds - 1}, the repetitions, but got {seed!r}")

    # Reference values for regret.

    def _best_of_rows(self, metric: str, do_minimize: bool, seed: int | None) -> npt.NDArray[np.float64]:
        if metric not in self._metrics:
            nearest = difflib.get_close_matches(metric, self._metrics, n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            raise ValueError(f"metric must be one of {', '.join(self._metrics)}, but got {metric!r}{hint}")
        values = self._metrics[metric].astype(np.float64)
        values = np.where(
            np.isfinite(values) & np.isfinite(self._elapsed_s), values, np.inf if do_minimize else -np.inf
        )
        if seed is not None:
            self._check_seed(seed)
            values = values[:, seed : seed + 1]
        best: npt.NDArray[np.float64] = values.min(axis=2) if do_minimize else values.max(axis=2)
        return best

    def best(self, metric: str, do_minimize: bool, seed: int | None = None) -> float:
        """The best value in the table, or in one repetition.

        Raises
        ------
        ValueError
            The metric or the repetition does not exist.
        """
        best = self._best_of_rows(metric, do_minimize, seed)
        return float(best.min() if do_minimize else best.max())

    def median_value(self, metric: str, do_minimize: bool) -> float:
        """The median over configurations (and repetitions) of their best value.

        A configuration without a finite value counts as the worst. If this would make the median infinite, such
        configurations are ignored.

        Raises
        ------
        ValueError
            The metric does not exist.
        """
        best = self._best_of_rows(metric, do_minimize, None)
        median = np.median(best)
        if not np.isfinite(median) and np.isfinite(best).any():
            median = np.median(best[np.isfinite(best)])
        return float(median)

    def full_run_s(self, row: int | None = None) -> float:
        """Seconds of a full run on one device: of one row (mean over repetitions), or the median over all rows."""
        last = np.nanmax(self._elapsed_s, axis=2)
        return float(np.median(last) if row is None else np.nanmean(last[row]))

    # Members of Syne Tune's Blackbox.

    @property
    def objectives_names(self) -> list[str]:
        """The metrics and, as the last one, the seconds."""
        return [*self._metrics, self.elapsed_time_attr]

    @property
    def fidelity_values(self) -> npt.NDArray[Any]:
        """The resource levels."""
        return np.array(self.levels)

    @property
    def fidelity_space(self) -> dict[str, Any]:
        """Domain of the resource level."""
        low, high = self.levels[0], self.levels[-1]
        if all(isinstance(level, int) for level in self.levels):
            return {self.time_attr: randint(low, high)}
        return {self.time_attr: uniform(low, high)}

    def fidelity_name(self) -> str:
        """The name of the resource level."""
        return self.time_attr

    def objective_function(
        self, configuration: Mapping[str, Any], fidelity: Any = None, seed: int | None = None
    ) -> npt.NDArray[np.float64] | dict[str, float]:
        """Values of all objectives, as in Syne Tune's ``Blackbox``.

        Parameters
        ----------
        configuration
            The configuration.
        fidelity
            A resource level, or a dictionary with one; None: all levels.
        seed
            The repetition; by default the first one.

        Returns
        -------
        array or dict
            An array of shape ``(levels, objectives)``; for one level, the objectives by name.

        Raises
        ------
        ValueError
            See :meth:`row`; or the level or the repetition does not exist.
        """
        row, seed = self.row(configuration), 0 if seed is None else seed
        self._check_seed(seed)
        objectives = [*self._metrics.values(), self._elapsed_s]
        values = np.stack([array[row, seed].astype(np.float64) for array in objectives], axis=1)
        if fidelity is None:
            return values
        level = fidelity[self.time_attr] if isinstance(fidelity, Mapping) else fidelity
        if level not in self.levels:
            raise ValueError(f"fidelity must be a level from {self.levels[0]} to {self.levels[-1]}, but got {level!r}")
        return dict(zip(self.objectives_names, values[self.levels.index(level)].tolist(), strict=True))

    __call__ = objective_function

    def hyperparameter_objectives_values(self, predict_curves: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The data for fitting a surrogate, as in Syne Tune's ``Blackbox``.

        Returns
        -------
        two data frames
            Inputs and objectives of all levels, repetitions and rows, in this order. With ``predict_curves``: whole
            curves of all repetitions and rows.
        """
        import pandas as pd

        num_rows, num_seeds, num_levels = self._elapsed_s.shape
        rows = pd.DataFrame(self.configurations)
        values = np.stack([*self._metrics.values(), self._elapsed_s], axis=3)  # row, repetition, level, objective
        if predict_curves:
            inputs = pd.concat([rows] * num_seeds, ignore_index=True)
            targets = values.transpose(1, 0, 2, 3).reshape(num_seeds * num_rows, -1)
            names = [f"{name}_{level}" for level in self.levels for name in self.objectives_names]
            return inputs, pd.DataFrame(targets, columns=names)
        inputs = pd.concat([rows] * (num_seeds * num_levels), ignore_index=True)
        inputs[self.time_attr] = np.repeat(self.levels, num_seeds * num_rows)
        targets = values.transpose(2, 1, 0, 3).reshape(num_levels * num_seeds * num_rows, -1)
        return inputs, pd.DataFrame(targets, columns=self.objectives_names)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _three_dimensional(
    what: str, values: npt.ArrayLike, num_rows: int, shape: tuple[int, ...] | None = None
) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{what} must be numbers, but has the type {array.dtype}")
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    if array.ndim == 2:
        array = array[:, np.newaxis, :]
    if array.ndim != 3 or len(array) != num_rows or 0 in array.shape:
        raise ValueError(
            f"{what} must have the shape ({num_rows}, levels) or ({num_rows}, repetitions, levels), "
            f"but has {np.shape(values)}"
        )
    if shape is not None and array.shape != shape:
        raise ValueError(f"{what} must have the shape of elapsed_s, {shape}, but has {array.shape}")
    return array


def _index(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[Any, ...], int]:
    names = list(rows[0])
    index: dict[tuple[Any, ...], int] = {}
    for i, row in enumerate(rows):
        if set(row) != set(names):
            raise ValueError(
                f"configurations must have the same hyperparameters, but row 0 has {names}, row {i} {list(row)}"
            )
        first = index.setdefault(tuple(row[name] for name in names), i)
        if first != i:
            raise ValueError(f"configurations must each occur once, but rows {first} and {i} are both {dict(row)}")
    return index
