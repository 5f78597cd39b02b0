from __future__ import annotations

import pytest

from syne_hypersched.blackboxes import id_columns, load_digits


def rows(**columns):
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize(
    "column",
    [range(10), [f"run-{i}" for i in range(10)], [float(i * 7) for i in range(10)], [i * i for i in range(10)]],
)
def test_a_column_that_counts_the_rows_is_an_id(column):
    assert id_columns(rows(config=list(column), width=[8, 16] * 5)) == ["config"]


@pytest.mark.parametrize(
    "column",
    [[8, 16] * 5, [i / 7 + 0.1 for i in range(10)], [*range(9), 8], ["a", "b"] * 5, [True, False] * 5],
)
def test_a_hyperparameter_is_none(column):
    assert id_columns(rows(value=list(column), lr=[0.1 + i / 30 for i in range(10)])) == []


def test_few_rows_say_nothing():
    assert id_columns(rows(config=[1, 2, 3])) == []
    assert id_columns([]) == []


def test_the_table_of_the_package_has_no_id():
    assert id_columns(load_digits().configurations) == []
