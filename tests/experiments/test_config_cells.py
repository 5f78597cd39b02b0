from __future__ import annotations

import io

import pandas as pd
import pytest

from syne_hypersched.experiments._config_cells import values_of_cells


def listing(values):
    return {"domain_cls": "Categorical", "domain_kwargs": {"categories": values}}


def written(values):
    """The cells of a column with these values, as pandas writes them."""
    buffer = io.StringIO()
    pd.DataFrame({"x": values, "rest": 0}).to_csv(buffer, index=False)
    buffer.seek(0)
    return pd.read_csv(buffer, dtype=str, keep_default_na=False)["x"].tolist()


@pytest.mark.parametrize(
    ("values", "domain"),
    [
        (["", "", ""], ""),
        ([None, None], None),
        (["", "l2"], listing(["", "l2"])),
        ([None, "l2"], listing([None, "l2"])),
        (["None", "NA", "null", "nan"], listing(["None", "NA", "null", "nan"])),
        (["01", "1", "1.0"], listing(["01", "1", "1.0"])),
        ([True, False], listing([True, False])),
        ([16, None, 64], listing([16, 64])),
        ([[8, 8], [16]], listing([[8, 8], [16]])),
        ([16, None, 64], {"domain_cls": "Integer", "domain_kwargs": {"lower": 1, "upper": 64}}),
        ([1e-5, 0.1, None], {"domain_cls": "Float", "domain_kwargs": {"lower": 0, "upper": 1}}),
        ([3, 4], {}),
        ([0.5, None], {}),
        ([True, False], {}),
        (["None", "relu", None], {}),
        (["1_000", "2"], {}),
    ],
)  # fmt: skip
def test_what_was_written_is_read(values, domain):
    found = values_of_cells(written(values), domain)
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_a_value_that_the_space_does_not_list_is_what_its_cell_says():
    assert values_of_cells(["16", "17"], listing([16])) == [16, 17]
    assert values_of_cells(["gelu", "relu", "3"], listing(["relu"])) == ["gelu", "relu", "3"]
