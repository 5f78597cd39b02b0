"""ASHA on one space, and reports to it."""

from __future__ import annotations

from typing import Any

from syne_tune.config_space import choice, randint, uniform

from syne_hypersched.schedulers import ASHA
from tests.schedulers.asha.reference_asha import (
    ReferencePromotion,
    ReferenceStopping,
    trial_of,
)

SPACE = {"x": uniform(0, 1), "n": randint(1, 5), "c": choice(["a", "b"]), "constant": 7}


REFERENCES = {"stopping": ReferenceStopping, "promotion": ReferencePromotion}


def make_asha(**kwargs: Any) -> ASHA:
    return ASHA(
        **{"config_space": SPACE, "metric": "loss", "time_attr": "epoch", "max_t": 27, "random_seed": 1} | kwargs
    )


def report(scheduler: Any, trial_id: int, epoch: float, loss: float) -> str:
    return scheduler.on_trial_result(trial=trial_of(trial_id), result={"loss": loss, "epoch": epoch})
