"""The blackbox that is part of the package."""

from __future__ import annotations

import importlib.resources
import subprocess
import sys

import numpy as np

from syne_hypersched.blackboxes import digits_provenance, load_digits


def test_it_is_as_large_as_promised_and_small_enough_to_ship():
    table = load_digits()
    assert len(table) >= 1000
    assert len(table.configuration_space) >= 5
    assert table.levels[-1] >= 81
    folder = importlib.resources.files("syne_hypersched.blackboxes") / "data"
    assert sum(len(file.read_bytes()) for file in folder.iterdir()) < 3_000_000


def test_every_curve_is_whole():
    table = load_digits()
    for row in table.configurations:
        curve = table.learning_curve(row)
        assert len(curve.reports) == 81
        assert min(curve.epoch_s) > 0.005
        assert all(0 <= report["val_accuracy"] <= 1 for report in curve.reports)
        assert curve.speed_up[1] == 1.0
        assert 0.3 < curve.speed_up[2] < 2


def test_configurations_lie_in_the_space():
    table = load_digits()
    for name, domain in table.configuration_space.items():
        assert all(domain.is_valid(row[name]) for row in table.configurations), name


def test_it_says_where_it_comes_from():
    provenance = digits_provenance()
    assert provenance["hardware"]["cpu"]
    assert provenance["hardware"]["torch"]
    assert provenance["made_by"] == "benchmarking/studies/measure_digits.py"
    assert len(provenance["speedup_at_two_slots"]) == 12


def test_later_epochs_say_more():
    table = load_digits()
    curves = [[report["val_accuracy"] for report in table.learning_curve(row).reports] for row in table.configurations]
    ranks = np.argsort(np.argsort(np.array(curves), axis=0), axis=0)
    agreement = [np.corrcoef(ranks[:, epoch], ranks[:, -1])[0, 1] for epoch in (0, 26, 53)]
    assert agreement == sorted(agreement)


def test_it_is_loaded_once_and_without_torch():
    assert load_digits() is load_digits()
    load = "import sys; from syne_hypersched.blackboxes import load_digits; load_digits()"
    program = f"{load}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
