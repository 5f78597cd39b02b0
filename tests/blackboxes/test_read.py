"""Learning curves from files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syne_hypersched.blackboxes import read_table
from tests.thoroughness import examples


def frame(num_rows=3, num_epochs=4) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "lr": [0.1 * (row + 1) for row in range(num_rows) for _ in range(num_epochs)],
            "kind": ["ab"[row % 2] for row in range(num_rows) for _ in range(num_epochs)],
            "epoch": list(range(1, num_epochs + 1)) * num_rows,
            "accuracy": [0.01 * i for i in range(num_rows * num_epochs)],
            "elapsed_s": [1.5 * epoch for epoch in range(1, num_epochs + 1)] * num_rows,
        }
    )


def store(table: pd.DataFrame, path):
    if path.suffix.lower() == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False)
    return path


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), num_rows=st.integers(1, 6), num_epochs=st.integers(1, 5))
def test_csv_and_parquet_in_any_order_of_lines_are_the_same_table(tmp_path, data, num_rows, num_epochs):
    table = frame(num_rows, num_epochs)
    shuffled = table.iloc[data.draw(st.permutations(range(len(table))))]
    read = [
        read_table(store(part, tmp_path / name), configuration=["lr", "kind"])
        for part, name in ((table, "t.csv"), (shuffled, "t.parquet"))
    ]
    for blackbox in read:
        assert blackbox.metrics == ("accuracy",)
        for (lr, kind), curve in table.groupby(["lr", "kind"]):
            found = blackbox.learning_curve({"lr": lr, "kind": kind})
            assert [report["accuracy"] for report in found.reports] == curve.accuracy.tolist()
            np.testing.assert_allclose(found.epoch_s, np.diff(curve.elapsed_s, prepend=0))


def test_columns_may_be_named_either_way(tmp_path):
    path = store(frame(), tmp_path / "t.csv")
    by_metric, by_configuration = read_table(path, metrics=["accuracy"]), read_table(path, configuration=["lr", "kind"])
    assert by_metric.configurations == by_configuration.configurations
    with pytest.raises(
        ValueError, match=r"configuration or metrics must name columns .* which has the columns lr, kind, accuracy"
    ):
        read_table(path)


def test_two_files_and_one_of_several_data_sets(tmp_path):
    table = frame()
    table["config_id"] = table.lr.rank(method="dense").astype(int)
    configs = table[["config_id", "lr", "kind"]].drop_duplicates()
    curves = pd.concat([table.drop(columns=["lr", "kind"]).assign(dataset=name) for name in ("x", "y")])
    blackbox = read_table(
        store(curves, tmp_path / "curves.parquet"),
        configs_path=store(configs, tmp_path / "configs.csv"),
        where={"dataset": "y"},
    )
    assert set(blackbox.configuration_space) == {"lr", "kind"}
    assert len(blackbox) == 3
    with pytest.raises(ValueError, match="none has dataset = 'z'"):
        read_table(tmp_path / "curves.parquet", configs_path=tmp_path / "configs.csv", where={"dataset": "z"})


def test_seconds_of_each_epoch_and_repetitions(tmp_path):
    table = frame().rename(columns={"elapsed_s": "seconds"}).assign(seconds=2.0)
    both = pd.concat([table.assign(run=7), table.assign(run=9, accuracy=1.0)])
    blackbox = read_table(
        store(both, tmp_path / "t.csv"), configuration=["lr", "kind"], epoch_time_attr="seconds", seed="run"
    )
    assert blackbox.num_seeds == 2
    assert blackbox.elapsed_time_attr == "elapsed_s"
    curve = blackbox.learning_curve(blackbox.configurations[0], seed=1)
    assert curve.epoch_s == (2.0,) * 4
    assert {report["accuracy"] for report in curve.reports} == {1.0}


def test_curves_may_end_early(tmp_path):
    blackbox = read_table(store(frame().iloc[:-2], tmp_path / "t.csv"), configuration=["lr", "kind"])
    lengths = [len(blackbox.learning_curve(row).reports) for row in blackbox.configurations]
    assert lengths == [4, 4, 2]


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (lambda t: t, {"time_attr": "epochs"}, "must have the column 'epochs', .* did you mean 'epoch'"),
        (lambda t: t.drop(columns="elapsed_s"), {}, "must have the column 'elapsed_s'"),
        (lambda t: pd.concat([t, t.iloc[:1]]), {}, "has epoch 1 twice for"),
        (lambda t: t.assign(accuracy="good"), {}, "must have numbers in the column 'accuracy'"),
        (
            lambda t: t.drop(index=1),
            {},
            r"t.csv must have all levels .* has 4 and not 2 for \{'lr': 0.1, 'ki",
        ),
        (
            lambda t: t.assign(elapsed_s=t.elapsed_s.max() - t.elapsed_s),
            {},
            r"'elapsed_s', which never fall, but they fall from 4.5 to 3 at epoch 2 of \{'lr': 0.1, .* epoch_time_attr",
        ),
        (
            lambda t: t.assign(elapsed_s=[2.0] * 4 + [3.0] * 4 + [4.0] * 4),
            {},
            "'elapsed_s', but in no configuration do they rise from epoch to epoch. Seconds of each epoch are named",
        ),
        (lambda t: t.assign(lr=t.lr.where(t.index != 2)), {}, "every line of the column 'lr', but line 4 has none"),
        (lambda t: t, {"configuration": []}, "at least one hyperparameter and one metric"),
    ],
)
def test_what_makes_no_table(tmp_path, change, arguments, message):
    path = store(change(frame()), tmp_path / "t.csv")
    with pytest.raises(ValueError, match=message):
        read_table(path, **{"configuration": ["lr", "kind"], **arguments})


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"line": range(12)}, "the column 'line' changes"),
        ({"loss": [1 / (i + 1) for i in range(12)]}, "the column 'loss' changes"),
        ({"line": range(12), "loss": [1 / (i + 1) for i in range(12)]}, "the columns 'line', 'loss' change"),
        ({"best": [0.5, 0.5, 0.7, 0.7] * 3}, "the column 'best' changes"),
    ],
)
def test_columns_that_change_in_a_training_are_not_taken_for_hyperparameters(tmp_path, more, named):
    path = store(frame().assign(**more), tmp_path / "t.csv")
    with pytest.raises(ValueError, match=rf"configuration must name .* {named} .* there are lr,kind$"):
        read_table(path, metrics=["accuracy"])
    assert len(read_table(path, metrics=["accuracy"], configuration=["lr", "kind"])) == 3


def test_a_gap_is_named_where_all_columns_are_hyperparameters(tmp_path):
    path = store(frame().drop(index=1), tmp_path / "t.csv")
    with pytest.raises(ValueError, match="has 4 and not 2 for"):
        read_table(path, metrics=["accuracy"])


@pytest.mark.parametrize("name", ["T.CSV", "t.Parquet", "T.PQ", "t.CSV.GZ"])
def test_the_end_of_a_name_may_have_capitals(tmp_path, name):
    if name.endswith("PQ"):
        frame().to_parquet(tmp_path / name)
    else:
        store(frame(), tmp_path / name)
    assert len(read_table(tmp_path / name, metrics=["accuracy"])) == 3


def test_a_value_of_another_column_may_be_a_text_on_a_command_line(tmp_path):
    table = frame().assign(fold=[1, 2, 1] * (len(frame()) // 3) + [1] * (len(frame()) % 3), ok=True, kind="1")
    path = store(table, tmp_path / "t.csv")
    options = {"metrics": ["accuracy"], "configuration": ["lr"]}
    assert len(read_table(path, where={"ok": "TRUE"}, **options)) == 3
    assert len(read_table(path, where={"kind": "1.0"}, **options)) == 3
    with pytest.raises(ValueError, match="where must leave some lines"):
        read_table(path, where={"fold": "one"}, **options)


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="path must be a file, but there is none"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "t.xls").write_text("")
    with pytest.raises(ValueError, match=r"path must end in \.parquet"):
        read_table(tmp_path / "t.xls")

    def no_pyarrow(path):
        raise ImportError("pyarrow")

    path = store(frame(), tmp_path / "t.parquet")
    monkeypatch.setattr(pd, "read_parquet", no_pyarrow)
    with pytest.raises(ImportError, match=r"needs pyarrow: pip install 'syne-hypersched\[benchmarks\]'"):
        read_table(path, metrics=["accuracy"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "curves.csv must be a table, but the file is empty"),
        (b"\n", "curves.csv must be a table, but the file is empty"),
        (b"lr,epoch,loss,elapsed_s\n", "curves.csv must have a line for each configuration and epoch, but has none"),
        (b"\xff\xfe\x00\x01", "curves.csv must be a table, but cannot be read as one"),
        (b"lr,epoch\n1,2\n1,2,3,4\n", "curves.csv must be a table, but cannot be read as one"),
    ],
)
def test_a_file_that_is_no_table_is_named(tmp_path, content, message):
    path = tmp_path / "curves.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_table(path, metrics=["loss"])


def test_words_that_often_mean_missing_are_values_where_others_are_words(tmp_path):
    path = tmp_path / "curves.csv"
    lines = ["act,depth,epoch,loss,elapsed_s", "None,1,1,0.5,1", "NA,2,1,NA,1", "relu,3,1,0.4,1"]
    path.write_text("\n".join(lines) + "\n")
    blackbox = read_table(path, metrics=["loss"])
    assert [row["act"] for row in blackbox.configurations] == ["None", "NA", "relu"]
    losses = [blackbox.learning_curve(row).reports[0]["loss"] for row in blackbox.configurations]
    assert [str(loss) for loss in losses] == ["0.5", "nan", "0.4"]
    path.write_text("\n".join(lines).replace("NA,2", ",2"))
    with pytest.raises(ValueError, match="every line of the column 'act', but line 3 has none"):
        read_table(path, metrics=["loss"])
    path.write_text("\n".join(lines).replace("relu,3", "relu,None"))
    with pytest.raises(ValueError, match="column 'depth', but line 4 has 'None' among numbers"):
        read_table(path, metrics=["loss"])
    path.write_text("\n".join(lines).replace(",", ";"))
    with pytest.raises(ValueError, match="separated by commas"):
        read_table(path, metrics=["loss"])
