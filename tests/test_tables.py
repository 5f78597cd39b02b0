from __future__ import annotations

import random

import pandas as pd

from syne_hypersched._tables import read_csv


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
