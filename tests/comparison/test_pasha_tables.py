from __future__ import annotations

import math

import pytest

from syne_hypersched.comparison.pasha_tables import best_accuracy, methods, nb201_blackbox, run_table


@pytest.fixture(scope="module")
def table():
    return run_table("schedulers", datasets=["cifar10"], scheduler_seeds=[0], table_seeds=[0], num_configs=24)


def test_a_table_has_a_row_for_each_method_and_names_its_data(table):
    assert list(table.method) == list(methods("schedulers"))
    assert set(table.table) == {nb201_blackbox("cifar10")[1]}
    rows = table.set_index("method")
    assert rows.speed_up["ASHA"] == pytest.approx(1)
    assert rows.speed_up["PASHA"] == pytest.approx(rows.hours["ASHA"] / rows.hours["PASHA"])
    assert rows.resource["one epoch"] == 1
    assert math.isnan(rows.speed_up["random"]), "it trains nothing"
    assert table.accuracy.between(0, 100).all()


def test_a_choice_is_judged_at_its_best_epoch():
    blackbox, _ = nb201_blackbox("cifar10")
    config = {name: domain.categories[0] for name, domain in blackbox.configuration_space.items()}
    errors = [report["metric_valid_error"] for report in blackbox.learning_curve(config, seed=1).reports]
    assert best_accuracy(blackbox, config, 1) == pytest.approx(100 * (1 - min(errors)))


def test_an_unknown_table_is_refused():
    with pytest.raises(ValueError, match=r"kind must be one of 'schedulers'.*but got 'all'"):
        methods("all")
