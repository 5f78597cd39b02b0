from __future__ import annotations

import csv
import random

import pandas as pd
import pytest

from syne_hypersched._tables import csv_of, read_csv, write_csv


def test_numbers_are_those_that_were_written(tmp_path):
    draw = random.Random(0)
    values = [draw.random() * 10 ** draw.randint(-9, 9) for _ in range(1000)]
    for name in ("table.csv", "table.csv.zip"):
        pd.DataFrame({"loss": values}).to_csv(tmp_path / name, index=False)
        assert read_csv(tmp_path / name).loss.tolist() == values


def test_columns_of_texts_keep_what_is_in_the_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("loss,config_act,config_width\n0.5,None,16\n,NA,\n0.25,,016\n")
    table = read_csv(path, texts="config_")
    assert table.config_act.tolist() == ["None", "NA", ""]
    assert table.config_width.tolist() == ["16", "", "016"]
    assert table.loss.fillna(-1).tolist() == [0.5, -1, 0.25]


def test_a_long_column_of_numbers_and_texts_has_one_type_and_causes_no_warning(tmp_path, recwarn):
    path = tmp_path / "results.csv"
    path.write_text("note\n" + "1\n" * 200_000 + "a text\n" * 10)
    table = read_csv(path)
    assert set(table.note) == {"1", "a text"}
    assert not recwarn.list


@pytest.fixture
def refusing(monkeypatch):
    """Writes CSV as Python 3.10 does, which refuses NUL after it has begun."""
    to_csv = pd.DataFrame.to_csv

    def refuse(table, target, **options):
        to_csv(table, target, **options)
        if "\0" in repr(table.to_dict()).encode().decode("unicode_escape"):
            raise csv.Error("need to escape, but no escapechar set")

    monkeypatch.setattr(pd.DataFrame, "to_csv", refuse)


TABLE = pd.DataFrame({"loss": [0.5, None], "a\0b": ["x\0y", None], "mixed": [1, "z\0"]})


def test_nul_is_spelt_out_where_python_refuses_it(refusing, tmp_path):
    assert csv_of(TABLE) == "loss,a\\x00b,mixed\n0.5,x\\x00y,1\n,,z\\x00\n"
    for name in ("table.csv", "table.csv.zip"):
        write_csv(TABLE, tmp_path / name)
        assert read_csv(tmp_path / name)["a\\x00b"].tolist()[0] == "x\\x00y"
    assert TABLE["mixed"].tolist() == [1, "z\0"]


def test_a_table_with_nul_is_written_by_every_python(tmp_path):
    assert csv_of(TABLE).replace("\0", "\\x00").startswith("loss,a\\x00b,mixed\n0.5,x\\x00y,1\n")
    write_csv(TABLE, tmp_path / "table.csv")
    assert len(read_csv(tmp_path / "table.csv")) == 2


def test_another_error_of_the_writer_is_raised(monkeypatch):
    def fail(table, target, **options):
        raise csv.Error("something else")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    with pytest.raises(csv.Error, match="something else"):
        csv_of(TABLE)
