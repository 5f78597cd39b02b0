"""The contract between schedulers and backends."""

from __future__ import annotations

import pytest
from syne_tune import constants

from syne_hypersched import contract


def test_the_old_name_of_a_resizable_trial_works_with_a_warning():
    with pytest.warns(
        DeprecationWarning,
        match=r"ElasticTrial is deprecated .* removed in version 0\.2\.0: use .*ResizableTrial",
    ):
        assert contract.ElasticTrial is contract.ResizableTrial
    with pytest.raises(AttributeError, match="no attribute 'StretchyTrial'"):
        _ = contract.StretchyTrial


def test_a_trial_is_elastic_if_it_can_be_resized():
    class Stock:
        trial_id = 3

    class Elastic(Stock):
        num_devices = 1

        def resize(self, num_devices):
            raise NotImplementedError

    assert not contract.is_elastic(Stock())
    assert contract.is_elastic(Elastic())


def test_the_key_of_syne_tune_is_its_own():
    assert contract.ST_WORKER_TIME == constants.ST_WORKER_TIME


@pytest.mark.parametrize(
    ("result", "present"),
    [({}, 4), ({"st_devices_present": 2}, 2), ({"st_devices_present": 0}, 0), ({"st_devices_present": 9}, 4),
     ({"st_devices_present": -1}, 0), ({"st_devices_present": "2"}, 4), ({"st_devices_present": True}, 4)],
)  # fmt: skip
def test_all_devices_are_there_unless_a_report_says_otherwise(result, present):
    assert contract.devices_present(result, 4) == present


@pytest.mark.parametrize(("entry", "nodes"), [(None, 1), (2, 2), (0, 1), (2.5, 1), (True, 1)])
def test_a_report_is_of_one_node_unless_it_says_otherwise(entry, nodes):
    assert contract.num_nodes({"st_num_nodes": entry}) == nodes


def test_the_only_metric_may_be_a_text():
    """As of Syne Tune's ``MedianStoppingRule``, whose tuner would take each letter for a metric."""
    from syne_tune.config_space import uniform
    from syne_tune.optimizer.baselines import RandomSearch
    from syne_tune.optimizer.schedulers.median_stopping_rule import MedianStoppingRule

    inside = RandomSearch({"x": uniform(0, 1)}, metrics=["loss"])
    assert contract.metric_names_of(inside) == ["loss"]
    assert contract.metric_names_of(MedianStoppingRule(inside, "epoch", metric="loss")) == ["loss"]
