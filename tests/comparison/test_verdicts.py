from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from syne_hypersched.comparison.text import describe_verdicts
from syne_hypersched.comparison.verdicts import strongest, verdict_table

TABLES = ("a", "b", "c", "d", "e", "f")


def rows(regrets, tables=TABLES, seeds=range(6), devices=(8,), deadlines=("1x", "2x")):
    """Invented results: the regret of each scheduler, with noise."""
    random_state = np.random.RandomState(0)
    return pd.DataFrame(
        {"benchmark": table, "num_devices": number, "scaling": "resnet50", "launch_cost": "1%"}
        | {"scheduler": name, "deadline": deadline, "seed": seed, "regret": regret + random_state.normal(0, 0.05)}
        for table in tables
        for number in devices
        for deadline in deadlines
        for name, regret in regrets.items()
        for seed in seeds
    )


def test_each_rival_at_each_deadline_has_a_verdict():
    verdicts = verdict_table(rows({"good": 0.2, "same": 0.2, "bad": 0.6}), "good")
    assert list(zip(verdicts.deadline, verdicts.rival, strict=True)) == [
        (deadline, rival) for deadline in ("1x", "2x") for rival in ("same", "bad")
    ]
    assert set(verdicts[verdicts.rival == "bad"].verdict) == {"ahead"}
    assert set(verdicts[verdicts.rival == "same"].verdict) == {"level"}
    assert verdicts[verdicts.rival == "bad"].ratio.max() < 0.5
    assert set(verdict_table(rows({"good": 0.2, "bad": 0.6}), "bad").verdict) == {"behind"}


def test_a_mean_regret_of_zero_has_no_minus():
    table = rows({"best": 0.0, "other": 0.3})
    table.loc[table.scheduler == "best", "regret"] = 0.0
    found = verdict_table(table, "best")
    assert {str(value) for column in ("regret", "ratio") for value in found[column]} == {"0.0"}
    assert {str(value) for value in verdict_table(table, "other").rival_regret} == {"0.0"}


def test_the_strongest_rival_is_the_one_with_the_lowest_mean():
    found = strongest(verdict_table(rows({"good": 0.2, "second": 0.3, "bad": 0.6}, devices=(4, 8)), "good"))
    assert list(found.num_devices) == [4, 4, 8, 8]
    assert set(found.rival) == {"second"}


def test_groups_of_tables_are_apart_and_a_verdict_on_one_is_none_on_the_other():
    table = rows({"x": 0.4, "y": 0.4})
    table.loc[(table.scheduler == "x") & table.benchmark.isin(("a", "b", "c")), "regret"] -= 0.3
    groups = {"chosen": ("a", "b", "c"), "unseen": ("d", "e", "f", "not there")}
    verdicts = verdict_table(table, "x", groups=groups)
    assert set(verdicts[verdicts.group == "chosen"].verdict) == {"ahead"}
    assert set(verdicts[verdicts.group == "unseen"].verdict) == {"level"}
    assert set(verdicts.tables) == {3}
    assert (verdicts.adjusted_p_value >= verdicts.p_value).all()


def test_only_seeds_that_both_have_on_all_tables_are_paired():
    few = rows({"dear": 0.3}, seeds=range(3))
    verdicts = verdict_table(pd.concat([rows({"x": 0.3, "cheap": 0.3}), few]), "x")
    assert dict(zip(verdicts.rival, verdicts.seeds, strict=True)) == {"cheap": 6, "dear": 3}
    hole = rows({"x": 0.3, "y": 0.3}, deadlines=("1x",))
    hole.loc[(hole.benchmark == "a") & (hole.seed == 2) & (hole.scheduler == "y"), "regret"] = np.nan
    assert list(verdict_table(hole, "x").seeds) == [5]


def test_the_text_names_rivals_numbers_and_the_level():
    verdicts = verdict_table(rows({"good": 0.2, "bad": 0.6}), "good")
    text = describe_verdicts(verdicts, "good", 0.05)
    assert "all tables: 8 devices, scaling resnet50, launch cost 1%" in text
    assert text.count("ahead") == 2
    assert "at most 0.05" in text


def test_a_rival_without_common_seeds_is_named(caplog):
    """It must not vanish: nobody misses a row that is not there."""
    table = rows({"x": 0.3, "y": 0.3, "other seeds": 0.3, "fails on a": 0.3})
    table.loc[table.scheduler == "other seeds", "seed"] += 100
    table.loc[(table.scheduler == "fails on a") & (table.benchmark == "a"), "regret"] = np.nan
    verdicts = verdict_table(table, "x")
    assert set(verdicts.rival) == {"y"}
    warnings = [record.getMessage() for record in caplog.records]
    assert [message.split(" in 2 of 2 cases (all tables at 1x; all tables at 2x)")[0] for message in warnings] == [
        "no verdict on 'other seeds'",
        "no verdict on 'fails on a'",
    ]


def test_no_warning_where_every_rival_has_a_verdict(caplog):
    verdict_table(rows({"x": 0.3, "y": 0.3, "z": 0.2}), "x")
    assert not caplog.records


def test_own_results_need_no_machine_and_no_deadline():
    table = rows({"good": 0.2, "bad": 0.6}, deadlines=("1x",))
    own = table[["benchmark", "scheduler", "seed", "regret"]]
    verdicts = verdict_table(own, "good")
    assert verdicts.verdict.tolist() == verdict_table(table, "good").verdict.tolist() == ["ahead"]
    text = describe_verdicts(verdicts, "good", 0.05)
    assert text.startswith("all tables\n")
    assert " <0.001 " in text
    assert "nan" not in text
    assert list(strongest(verdicts).rival) == ["bad"]


def test_a_rival_that_is_named_twice_counts_once():
    table = rows({"good": 0.2, "bad": 0.3})
    pd.testing.assert_frame_equal(verdict_table(table, "good", ["bad", "bad"]), verdict_table(table, "good"))


def test_a_certain_lead_is_found_among_many_groups():
    """With samples of a fixed number no p-value could be small enough for the share of the level of a group."""
    table = rows({"good": 0.2, "bad": 0.6}, tables=TABLES, deadlines=("1x",))
    groups = {f"group {number}": TABLES for number in range(8)}
    assert set(verdict_table(table, "good", groups=groups, num_resamples=100).verdict) == {"ahead"}


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (lambda r: r.drop(columns="regret"), {}, "lack regret"),
        (lambda r: r, {"candidate": "godd"}, "did you mean 'good'"),
        (lambda r: r, {"rivals": ["bda"]}, "did you mean 'bad'"),
        (lambda r: r, {"groups": {"g": ["z"]}}, "group 'g'"),
        (lambda r: r, {"rivals": ["good", "bad"]}, "rivals must be schedulers other than the candidate 'good'"),
        (lambda r: r[r.scheduler == "good"], {}, "other than the candidate 'good', but got \\[\\]"),
        (lambda r: r.assign(regret=r.regret.astype(str) + "s"), {}, "regret must be a number, but is '.*s' for 'good'"),
        (lambda r: pd.concat([r, r]), {}, "each run once"),
        (lambda r: r[r.seed == 0], {}, "at least 2 seeds"),
    ],
)
def test_wrong_arguments(change, arguments, message):
    with pytest.raises(ValueError, match=message):
        verdict_table(change(rows({"good": 0.2, "bad": 0.6})), **({"candidate": "good"} | arguments))


def test_a_table_without_regret_is_left_out():
    table = rows({"x": 0.2, "y": 0.6})
    table.loc[table.benchmark == "a", "regret"] = np.nan
    verdicts = verdict_table(table, "x")
    assert set(verdicts.tables) == {5}
    assert set(verdicts.verdict) == {"ahead"}
    # Where only one has no regret, something is wrong with the rows, and the table is not left out in its favour.
    table.loc[(table.benchmark == "b") & (table.scheduler == "x"), "regret"] = np.nan
    with pytest.raises(ValueError, match="must share at least 2 seeds"):
        verdict_table(table, "x")


def test_schedulers_without_any_regret_are_level():
    table = rows({"x": 0.2, "y": 0.4})
    table["regret"] = 0.0
    verdicts = verdict_table(table, "x")
    assert set(verdicts.verdict) == {"level"}
    assert set(verdicts.ratio) == {1.0}
    assert "level" in describe_verdicts(verdicts, "x", 0.05)


def test_a_rival_without_regret_is_ahead():
    table = rows({"x": 0.5, "y": 0.4})
    table.loc[table.scheduler == "y", "regret"] = 0.0
    verdicts = verdict_table(table, "x")
    assert set(verdicts.verdict) == {"behind"}
    assert set(verdicts.ratio) == {np.inf}
    assert "behind" in describe_verdicts(verdicts, "x", 0.05)


def test_an_infinite_regret_is_refused():
    table = rows({"x": 0.5, "y": 0.4})
    table.loc[7, "regret"] = np.inf
    with pytest.raises(ValueError, match=r"regret must be finite or NaN.*'seed': 1"):
        verdict_table(table, "x")
