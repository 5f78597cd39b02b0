"""The blackbox that is part of the package: learning curves of a small network, measured by this project."""

from __future__ import annotations

import functools
import importlib.resources
import json
from typing import Any

import numpy as np
from syne_tune.config_space import choice, loguniform, uniform

from syne_hypersched.blackboxes._table import TableBlackbox

_NAME = "digits_cnn"


@functools.cache
def load_digits() -> TableBlackbox:
    """Learning curves of a convolutional network on scikit-learn's handwritten digits.

    There are 1,000 configurations of seven hyperparameters, drawn at random, each trained for 81 epochs. The metrics
    are ``val_accuracy`` (share of 899 images) and ``val_loss``. The seconds of every epoch were measured on one CPU
    slot. The speed-up on two slots was measured for the batch size and width of the configuration
    (``scaling="measured"`` of the simulator); with small batches, two slots are slower than one.
    ``benchmarking/studies/measure_digits.py`` created the table and can create it again. :func:`digits_provenance`
    tells when and on which hardware it was measured.

    Returns
    -------
    TableBlackbox
        The same object at every call.
    """
    description = digits_provenance()
    with importlib.resources.files(__package__).joinpath("data", f"{_NAME}.npz").open("rb") as file:
        arrays = dict(np.load(file, allow_pickle=False))
    space: dict[str, Any] = {}
    columns: dict[str, list[Any]] = {}
    for name, domain in description["space"].items():
        values = arrays[f"config_{name}"]
        if len(domain) == 3 and isinstance(domain[2], bool):
            low, high, is_log = domain
            space[name] = loguniform(low, high) if is_log else uniform(low, high)
            # The values used in training had four significant digits, but a 32-bit float shows more.
            columns[name] = [float(f"{value:.4g}") for value in values.tolist()]
        else:
            space[name], columns[name] = choice(domain), values.tolist()
    configurations = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    at_two = {(line["width"], line["batch_size"]): line["speedup"] for line in description["speedup_at_two_slots"]}
    return TableBlackbox(
        configurations,
        {
            "val_accuracy": arrays["val_correct"] / description["num_val_images"],
            "val_loss": arrays["val_loss"].astype(np.float64),
        },
        np.cumsum(arrays["epoch_us"].astype(np.float64) / 1e6, axis=1),
        configuration_space=space,
        speed_up=[{1: 1.0, 2: at_two[row["width"], row["batch_size"]]} for row in configurations],
        name="digits",
        description=description["what"],
    )


def digits_provenance() -> dict[str, Any]:
    """How the blackbox of :func:`load_digits` was measured: content, script, date and hardware."""
    text = importlib.resources.files(__package__).joinpath("data", f"{_NAME}.json").read_text(encoding="utf-8")
    provenance: dict[str, Any] = json.loads(text)
    return provenance
