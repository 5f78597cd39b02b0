"""Reports that nobody reads are pointed out: those on standard error, and those of other ranks."""

from __future__ import annotations

import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform

from syne_hypersched import ASHA, ElasticLocalBackend
from syne_hypersched._misplaced_reports import hint_of_misplaced_reports

REPORT = '[tune-metric]: {"epoch": 1}\n'


@pytest.mark.parametrize(
    ("logs", "hint"),
    [
        ({}, ""),
        ({"std.out": REPORT, "std.err": "an error\n", "std.rank1.err": ""}, ""),
        ({"std.err": f"INFO {REPORT}"}, "std.err, but only standard output is read"),
        ({"std.err": "", "std.rank1.out": REPORT}, "std.rank1.out: only reports of rank 0 count"),
        ({"std.err": REPORT, "std.rank1.err": REPORT}, "std.err, but only standard output is read"),
        ({"std.err.1": REPORT, "other.out": REPORT}, ""),
        ({"std.err": "[tune-metric]: is how a report begins\n"}, ""),
    ],
)
def test_where_reports_are(tmp_path, logs, hint):
    for name, text in logs.items():
        (tmp_path / name).write_text(text)
    found = hint_of_misplaced_reports(tmp_path)
    assert hint in found
    assert bool(hint) == bool(found)


def test_a_folder_that_cannot_be_read_has_none(tmp_path):
    (tmp_path / "std.err").mkdir()
    assert hint_of_misplaced_reports(tmp_path) == ""
    assert hint_of_misplaced_reports(tmp_path / "nothing") == ""


@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize(
    "text", ["sys.stdout = sys.stderr", "import contextlib; sys.stdout.close(); sys.stdout = sys.stderr"]
)
def test_a_script_that_reports_on_standard_error_is_told_so(tmp_path, monkeypatch, caplog, text):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    (tmp_path / "train.py").write_text(f"import sys\n{text}\nprint({REPORT.strip()!r})\n")
    backend = ElasticLocalBackend(str(tmp_path / "train.py"), num_devices=1, device_type="cpu", preload=())
    scheduler = ASHA({"x": uniform(0, 1)}, "loss", time_attr="epoch", max_t=1, random_seed=0)
    Tuner(
        backend, scheduler, StoppingCriterion(max_num_trials_finished=1), n_workers=1, sleep_time=0.01, max_failures=9,
        save_tuner=False, tuner_name="misplaced", suffix_tuner_name=False,
    ).run()  # fmt: skip
    assert (
        f"There are reports in {tmp_path / 'misplaced' / '0' / 'std.err'}, but only standard output is read"
        in caplog.text
    )
