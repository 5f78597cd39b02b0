from __future__ import annotations

import io
import warnings

import pytest

from syne_hypersched._picture_text import picture_text, without_missing_glyphs


@pytest.mark.parametrize(
    "name", ["loss", "$", "acc $^", "cost in $ and $x_", "精度", "דיוק", "a\x1b[2J\nb", "100 %", "\\alpha"]
)
def test_every_name_can_be_drawn(name):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    figure.subplots().set_ylabel(picture_text(name))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with without_missing_glyphs():
            figure.savefig(io.BytesIO())


def test_a_dollar_is_a_dollar_and_a_line_stays_a_line():
    assert picture_text("a$b$") == "a\\$b\\$"
    assert picture_text("a\nb") == "a\\nb"
