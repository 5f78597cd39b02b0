"""Adds noise to learning curves that are smoother than measured ones."""

from __future__ import annotations

import numpy as np

from syne_hypersched.blackboxes._table import TableBlackbox
from syne_hypersched.checks import instance, integer, number, text

_MOST_SEEDS = 1_000_000


def with_noise(table: TableBlackbox, metric: str, sd: float, true_metric: str, num_seeds: int = 16) -> TableBlackbox:
    """A table in which the values of a metric scatter between levels and between repetitions.

    Tables that come from a surrogate model, or are averaged over many measurements, are smooth. The accuracy that a
    real training reports is not. The noise is normal and independent. One repetition always has the same noise.

    Parameters
    ----------
    table
        The table. Only its first repetition is used.
    metric
        The metric that gets noise.
    sd
        Standard deviation of the noise, in the unit of the metric.
    true_metric
        Name under which the values without noise are kept.
    num_seeds
        Number of repetitions.

    Raises
    ------
    TypeError
        ``table`` is not a table, a name of a metric not a string, ``sd`` not a number, or ``num_seeds`` not an integer.
    ValueError
        The table has no such metric, or already has one named ``true_metric``; ``sd`` is negative; or ``num_seeds`` is
        not from 1 to a million.
    """
    instance("table", table, TableBlackbox, "a TableBlackbox")
    metric, true_metric = text("metric", metric), text("true_metric", true_metric)
    number("sd", sd, at_least=0)
    integer("num_seeds", num_seeds, at_least=1, at_most=_MOST_SEEDS)
    if metric not in table.metrics or true_metric in table.metrics:
        raise ValueError(
            f"metric must be in the table and true_metric must not, but got {metric!r} and {true_metric!r}, and the "
            f"metrics of {table.name!r} are {', '.join(table.metrics)}"
        )
    columns = {name: np.repeat(values[:, :1], num_seeds, axis=1) for name, values in table._metrics.items()}
    true = columns[metric]
    columns[metric] = true + sd * np.random.RandomState(0).standard_normal(true.shape)
    return TableBlackbox(
        table.configurations,
        columns | {true_metric: true},
        np.repeat(table._elapsed_s[:, :1], num_seeds, axis=1),
        levels=table.levels,
        configuration_space=table.configuration_space,
        time_attr=table.time_attr,
        elapsed_time_attr=table.elapsed_time_attr,
        speed_up=table._speed_up,
        lookup=table.lookup,
        name=f"{table.name}+noise",
        description=f"{table.description} (with noise of standard deviation {sd:.3g})".strip(),
        is_synthetic=table.is_synthetic,
    )
