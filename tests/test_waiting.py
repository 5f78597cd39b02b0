"""A tuner that waits for reports: real trials, and the state of the tuner afterwards."""

from __future__ import annotations

import logging
import signal
import textwrap

import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend import LocalBackend
from syne_tune.config_space import uniform
from syne_tune.results_callback import StoreResultsCallback

from syne_hypersched import ASHA, ElasticLocalBackend, ElasticPythonBackend, Journal, WaitForReports
from syne_hypersched._tables import read_csv
from syne_hypersched.experiments import LiveProgress, QuietTunerLogger

pytestmark = pytest.mark.usefixtures("no_process_left")

SCRIPT = """
import argparse, time
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--st_checkpoint_dir")
args = parser.parse_args()
for epoch in range(1, 28):
    time.sleep(0.02)
    print('[tune-metric]: {"epoch": %d, "loss": %f}' % (epoch, args.x), flush=True)
"""


def report_epochs(x):
    import time

    for epoch in range(1, 28):
        time.sleep(0.02)
        print(f'[tune-metric]: {{"epoch": {epoch}, "loss": {x}}}', flush=True)


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


class Clocked(StoreResultsCallback):
    """Counts the iterations of the loop, and the tuner's own sleeps."""

    def __init__(self):
        super().__init__()
        self.num_turns = 0
        self.sleeps = []

    def on_loop_end(self):
        self.num_turns += 1

    def on_tuning_sleep(self, sleep_time):
        self.sleeps.append(sleep_time)


def make_tuner(backend, callbacks, num_finished=4, n_workers=1, **options):
    # The first one is the best, so that the others are stopped.
    points = [{"x": x} for x in (0.1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)]
    scheduler = ASHA({"x": uniform(0, 1)}, "loss", "epoch", max_t=27, points_to_evaluate=points, random_seed=1)
    options = {"sleep_time": 30.0, "save_tuner": False, **options}
    return Tuner(
        backend, scheduler, StoppingCriterion(max_num_trials_finished=num_finished), n_workers=n_workers,
        callbacks=callbacks, tuner_name="test", output_logger=QuietTunerLogger(), **options,
    )  # fmt: skip


def make_backend(kind, script):
    if kind == "function":
        return ElasticPythonBackend(report_epochs, {"x": uniform(0, 1)}, 1, device_type="cpu")
    return ElasticLocalBackend(script, 1, device_type="cpu", launch="cold" if kind == "cold" else None)


@pytest.mark.parametrize(
    ("kind", "callback"),
    [
        pytest.param("cold", WaitForReports, marks=pytest.mark.slow),
        ("function", WaitForReports),
        ("local", Journal),
        ("cold", lambda: LiveProgress(panel=False)),
    ],
)
def test_trials_are_stopped_at_the_report_that_decides(kind, callback, script, monkeypatch, caplog):
    # Nothing but a report, or an exit, ends a wait: looking now and then would not do.
    monkeypatch.setattr("syne_hypersched.backends.local._news.MOST_S", 20.0)
    clocked = Clocked()
    tuner = make_tuner(make_backend(kind, script), [callback(), clocked], num_finished=3)
    tuner.run()
    assert set(clocked.sleeps) == {0}
    assert tuner.sleep_time == 30.0
    table = read_csv(tuner.tuner_path / "results.csv.zip")
    stopped = table[(table.st_decision == "STOP") & (table.epoch < 27)]
    assert len(stopped) >= 2
    for trial_id in stopped.trial_id:
        log = (tuner.trial_backend.trial_path(trial_id) / "std.out").read_text()
        assert log.count("tune-metric") < 27
    # One turn for each report, start and end, and some that find half a line.
    assert clocked.num_turns < 4 * (len(table) + 10)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("arguments", [{"add_wallclock_time": "yes"}, {"extra_results_composer": 3}])
def test_wrong_arguments_are_named(arguments):
    with pytest.raises(TypeError, match=f"{next(iter(arguments))} must be"):
        WaitForReports(**arguments)


def test_a_short_sleep_stays_the_longest_wait(script):
    """Without events, the stop criterion is checked as often as the user has set."""
    script.write_text("import time; time.sleep(1000)")
    tuner = make_tuner(make_backend("cold", script), [WaitForReports()], sleep_time=0.01)
    turns = []
    tuner.stop_criterion = lambda status: turns.append(1) or len(turns) > 20
    tuner.run()


def test_results_are_stored_once(script):
    tuner = make_tuner(make_backend("cold", script), [WaitForReports()], num_finished=1)
    tuner.run()
    table = read_csv(tuner.tuner_path / "results.csv.zip")
    assert len(table) >= 27
    assert not table.duplicated(["trial_id", "epoch"]).any()
    stored = StoreResultsCallback()
    waits = WaitForReports()
    tuner = make_tuner(make_backend("cold", script), [waits, stored], num_finished=1)
    tuner.run()
    assert len(stored.results) >= 27
    assert waits.results == []


def test_one_of_several_callbacks_waits(script):
    backend = make_backend("cold", script)
    waits = []
    backend.wait_for_news = lambda at_most_s, wait=backend.wait_for_news: waits.append(at_most_s) or wait(at_most_s)
    clocked = Clocked()
    tuner = make_tuner(backend, [WaitForReports(), LiveProgress(panel=False), WaitForReports(), clocked], 1)
    tuner.run()
    assert waits == [30.0] * len(clocked.sleeps)
    assert tuner.sleep_time == 30.0


@pytest.mark.parametrize("sleep_time", [pytest.param(0, marks=pytest.mark.slow), 0.01])
def test_other_backends_sleep_as_before(sleep_time, script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # Syne Tune's backend leaves a file where it is made
    clocked = Clocked()
    script.write_text(SCRIPT.replace(""": %f}'""", """: %f, "st_worker_timestamp": 1.0}'"""))
    backend = LocalBackend(str(script))
    tuner = make_tuner(backend, [WaitForReports(), clocked], 1, sleep_time=sleep_time)
    tuner.run()
    for process in backend.trial_subprocess.values():
        process.wait()
    assert set(clocked.sleeps) == {sleep_time}


def test_a_tuner_that_was_stored_while_it_ran_goes_on(script):
    class Stores(Clocked):
        def on_loop_end(self):
            super().on_loop_end()
            if self.num_turns == 5:
                tuner.save()
                tuner.stop_criterion = lambda status: True

    tuner = make_tuner(make_backend("cold", script), [WaitForReports(), Stores()])
    tuner.run()
    loaded = Tuner.load(str(tuner.tuner_path))
    assert loaded.sleep_time == 0
    loaded.stop_criterion = StoppingCriterion(max_num_trials_finished=1)
    loaded.callbacks = loaded.callbacks[:1]
    loaded.run()
    assert loaded.sleep_time == 30.0


LAUNCH = """
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform
from syne_hypersched import ASHA, ElasticLocalBackend, WaitForReports

class Tells(WaitForReports):
    def on_tuning_sleep(self, sleep_time):
        print("waits", flush=True)
        super().on_tuning_sleep(sleep_time)

backend = ElasticLocalBackend({script!r}, 1, device_type="cpu", launch="cold")
scheduler = ASHA({{"x": uniform(0, 1)}}, "loss", "epoch", max_t=27)
Tuner(
    backend, scheduler, StoppingCriterion(max_wallclock_time=1000), 1, sleep_time=1000, callbacks=[Tells()],
    tuner_name="test",
).run()
"""


def test_ctrl_c_ends_a_tuner_that_waits(script, tmp_path, wait_for, forked):
    script.write_text("import time; time.sleep(1000)")
    launch = tmp_path / "launch.py"
    launch.write_text(textwrap.dedent(LAUNCH.format(script=str(script))))
    log = tmp_path / "log"
    with open(log, "wb") as file:
        process = forked.start([launch], stdout=file, stderr=file)
    wait_for(lambda: process.poll() is not None or "waits" in log.read_text())
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.wait(timeout_s=280)  # it would sleep for a thousand seconds
    assert "KeyboardInterrupt" in log.read_text()
    assert process.returncode != 0


def test_it_is_warned_of_a_tuner_that_sleeps(script, caplog):
    """Real trials that report all their epochs while the tuner sleeps."""
    script.write_text(SCRIPT.replace("0.02", "0.001"))
    tuner = make_tuner(make_backend("cold", script), None, num_finished=6, sleep_time=0.4)
    tuner.run()
    (message,) = (record.message for record in caplog.records if "The tuner looks every" in record.message)
    assert "trials have trained from start to end" in message or "of the epochs so far" in message


@pytest.mark.parametrize("callback", [WaitForReports, Journal])
def test_trials_that_never_report_are_told_of_at_the_end(tmp_path, monkeypatch, caplog, callback):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    (tmp_path / "silent.sh").write_text("while :; do sleep 1; done\n")
    backend = ElasticLocalBackend(tmp_path / "silent.sh", 1, device_type="cpu", binary="sh", grace_s=0)
    scheduler = ASHA({"x": uniform(0, 1)}, "loss", time_attr="epoch", max_t=9)

    def stop(status):
        return status.num_trials_started == 1

    Tuner(backend, scheduler, stop, n_workers=1, callbacks=[callback()], save_tuner=False).run()
    (message,) = (record.getMessage() for record in caplog.records if record.name == "syne_hypersched.waiting")
    assert message.startswith("No trial has reported in the ")
    assert "1 trial started" in message
