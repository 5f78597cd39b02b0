"""Values that a report may contain."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from syne_hypersched.training._metrics import plain_metrics  # noqa: E402


@pytest.mark.parametrize(
    "value, plain",
    [
        (torch.tensor(1.5, requires_grad=True), 1.5),
        (torch.tensor(3), 3),
        (torch.tensor(True), True),
        (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
        (torch.nn.Parameter(torch.tensor(0.25)), 0.25),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array(2.0), 2.0),
        (np.str_("a"), "a"),
        (Decimal("0.25"), 0.25),
        (Fraction(1, 4), 0.25),
        (True, True),
        (3, 3),
        ("text", "text"),
        ({"deep": [torch.tensor(1.0), (np.int32(2),)]}, {"deep": [1.0, [2]]}),
        (math.inf, math.inf),
    ],
)
def test_numbers_of_all_kinds_are_numbers(value, plain):
    found = plain_metrics({"loss": value})["loss"]
    assert found == plain
    assert type(found) is type(plain)
    assert json.loads(json.dumps(found)) == plain


@pytest.mark.parametrize("value", [torch.tensor(math.nan), np.float32("nan"), math.nan, Decimal("nan")])
def test_a_loss_that_is_not_a_number_is_passed_on(value):
    found = plain_metrics({"loss": value})["loss"]
    assert type(found) is float
    assert math.isnan(found)


@pytest.mark.parametrize(
    "value, message",
    [
        (torch.ones(2), r"loss must be a single number, .* but got a Tensor of shape \(2,\)"),
        (torch.ones(1), r"loss must be a single number, .* but got a Tensor of shape \(1,\)"),
        (np.ones((2, 3)), r"loss must be a single number, .* but got a ndarray of shape \(2, 3\)"),
        (None, "loss must be a number, .* but got None"),
        (object(), "loss must be a number, .* but got object"),
        (1j, "loss must be a number, .* but got complex"),
        (torch.tensor(1j), "loss must be a number, .* but got complex"),
        ([1, {"deep": {2}}], r"loss\[1\]\['deep'\] must be a number, .* but got set"),
    ],
)
def test_other_values_are_refused_by_name(value, message):
    with pytest.raises(TypeError, match=message):
        plain_metrics({"loss": value})


def test_what_the_reporter_would_refuse_is_refused():
    with pytest.raises(ValueError, match="st_decision must be a name that does not begin with 'st_'"):
        plain_metrics({"st_decision": 1})
    with pytest.raises(ValueError, match="a report must have at most 45000 characters as JSON, but has 50012"):
        plain_metrics({"text": "x" * 50_000})
