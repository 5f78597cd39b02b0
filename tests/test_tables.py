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
