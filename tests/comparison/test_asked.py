"""The common part of schedulers that ask another package for configurations."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import Domain, choice, finrange, loguniform, ordinal, randint, uniform

from syne_hypersched.comparison.asked import AskedScheduler, ordered_values, translated


class Counting(AskedScheduler[int]):
    """Asks a package that counts."""

    def suggest(self):
        self._suggested.append(len(self._suggested) + len(self._running))


@pytest.mark.parametrize(("do_minimize", "mode"), [(True, "min"), (False, "max")])
def test_it_describes_itself(do_minimize, mode):
    scheduler = Counting({"x": uniform(0, 1)}, "loss", "epoch", 9, do_minimize, random_seed=3)
    assert scheduler.random_seed == 3
    assert (scheduler.metric_names(), scheduler.metric_mode()) == (["loss"], mode)
    metadata = scheduler.metadata()
    assert set(json.loads(metadata.pop("config_space"))) == {"x"}
    assert metadata == {
        "scheduler_name": "Counting", "scheduler_kwargs": {"max_t": 9}, "metric": "loss", "metric_names": ["loss"],
        "metric_mode": mode,
    }  # fmt: skip


def test_suggestions_become_trials_in_their_order():
    scheduler = Counting({"x": uniform(0, 1)}, "loss", "epoch", 9, True)
    for _ in range(3):
        scheduler.suggest()
    for trial_id in (5, 7):
        scheduler.on_trial_add(Trial(trial_id, {}, datetime.now()))
    assert scheduler._running == {5: 0, 7: 1}


def test_a_domain_in_terms_of_another_package():
    def of(domain):
        return translated(
            "x", domain, "Other", lambda *ends: ("real", *ends), lambda *ends: ("integer", *ends), lambda values: values
        )

    assert of(uniform(0, 2)) == ("real", 0, 2, False)
    assert of(loguniform(0.1, 2)) == ("real", 0.1, 2, True)
    assert of(randint(1, 8)) == ("integer", 1, 8, False)
    assert of(ordinal([1, 2, 4])) == of(finrange(0.0, 1.0, 3)) == ("integer", 0, 2, False)
    assert of(choice(["a", "b"])) == ["a", "b"]
    with pytest.raises(TypeError, match="config_space must have domains that Other supports, but 'x' is"):
        of(Domain())


@pytest.mark.parametrize(
    ("domain", "values"), [(ordinal([1, 2, 4]), [1, 2, 4]), (finrange(0.0, 1.0, 3), [0.0, 0.5, 1.0])]
)
def test_the_values_of_a_domain_that_are_counted(domain, values):
    assert ordered_values(domain) == values
