"""The elastic backend for functions: its contract, its errors, and functions under the stock tuner."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import sys
import textwrap
from pathlib import Path

import dill
import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend.trial_status import Status
from syne_tune.config_space import choice, finrange, randint, uniform

from syne_hypersched import ASHA, ElasticLocalBackend, ElasticPythonBackend
from syne_hypersched._tables import read_csv
from syne_hypersched.experiments import check_run, load_run, read_events
from syne_hypersched.testing import BackendContract
from tests.thoroughness import keep_only

pytestmark = pytest.mark.usefixtures("no_process_left")


def make_train(epoch_s):
    """The function of the contract's script; its globals come from this module, as from a notebook's cells."""
    import json
    import os
    import time
    from pathlib import Path

    def train(x, epochs, st_checkpoint_dir):
        from tests.reporter import Reporter

        folder = Path(st_checkpoint_dir)
        checkpoint = folder / "epoch.json"
        done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
        report = Reporter()
        for epoch in range(done + 1, epochs + 1):
            time.sleep(epoch_s / int(os.environ.get("WORLD_SIZE", 1)))
            if os.environ.get("RANK", "0") == "0":
                report(epoch=epoch, loss=x + 1 / epoch)
                folder.mkdir(parents=True, exist_ok=True)
                checkpoint.with_suffix(".new").write_text(json.dumps(epoch))
                os.replace(checkpoint.with_suffix(".new"), checkpoint)

    return train


def make_backend(function, config_space, num_devices=4, **options):
    return ElasticPythonBackend(
        function, config_space, num_devices, **{"device_type": "cpu", "grace_s": 20.0, **options}
    )


@pytest.mark.slow
class TestElasticPythonBackend(BackendContract):
    def make_backend(self, folder):
        return make_backend(make_train(self.epoch_s), {"x": 1.0, "epochs": 1000}, self.num_devices)


class TestInShort(BackendContract):
    """What a function could do in other ways than a script. The backend for scripts keeps all of the contract."""

    def make_backend(self, folder):
        return make_backend(make_train(self.epoch_s), {"x": 1.0, "epochs": 1000}, self.num_devices)


keep_only(
    TestInShort,
    "test_a_trial_reports_every_epoch_and_completes",
    "test_a_resize_goes_unnoticed_but_for_the_devices",
    "test_a_paused_trial_goes_on_where_it_was",
    "test_a_paused_trial_may_be_resumed_at_once_with_another_config",
    "test_the_backend_survives_dill",
)


@pytest.mark.slow
class TestColdLaunches(BackendContract):
    def make_backend(self, folder):
        return make_backend(make_train(self.epoch_s), {"x": 1.0, "epochs": 1000}, self.num_devices, launch="cold")


def run_trial(backend, config, wait_for):
    """Starts one trial; returns its reports when it has ended, and its status."""
    trial = backend.start_trial(config)
    reports = []

    def ended():
        statuses, new = backend.fetch_status_results([trial.trial_id])
        reports.extend(report for _, report in new)
        return statuses[trial.trial_id][1] != Status.in_progress

    wait_for(ended)
    backend.stop_all()
    return reports, trial.status


def echo(number, flag, text, nothing, nested, choice_of_lists, default="as it is"):
    from tests.reporter import Reporter

    Reporter()(loss=0.0, seen=repr([number, flag, text, nothing, nested, choice_of_lists, default]))


def test_values_arrive_as_they_are(tmp_path, wait_for):
    space = {
        "number": randint(1, 3),
        "flag": choice([True, False]),
        "text": "two 'words' --flag",
        "nothing": None,
        "nested": {"a": [1, 2.5, "b"]},
        "choice_of_lists": choice([[1, 2], [3]]),
    }
    backend = make_backend(echo, space)
    backend.set_path(str(tmp_path / "run"))
    values = [2, False, "two 'words' --flag", None, {"a": [1, 2.5, "b"]}, [3]]
    (report,), status = run_trial(backend, dict(zip(space, values, strict=True)), wait_for)
    assert status == Status.completed
    assert report["seen"] == repr([*values, "as it is"])


def test_every_rank_calls_the_function(tmp_path, wait_for):
    def train(x, folder, st_checkpoint_dir):
        rank, world_size = os.environ["RANK"], int(os.environ["WORLD_SIZE"])
        Path(folder, rank).write_text(json.dumps([x, st_checkpoint_dir]))
        from tests.reporter import Reporter

        Reporter()(loss=x, world_size=world_size)

    space = {"x": uniform(0, 1), "folder": str(tmp_path)}
    backend = make_backend(train, space, num_devices=3, num_devices_per_trial=3)
    backend.set_path(str(tmp_path / "run"))
    (report,), _ = run_trial(backend, {"x": 0.25, "folder": str(tmp_path)}, wait_for)
    assert (report["loss"], report["world_size"]) == (0.25, 3)
    for rank in "012":
        assert json.loads((tmp_path / rank).read_text()) == [0.25, str(backend.checkpoint_trial_path(0))]


@pytest.fixture
def experiments(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    return tmp_path / "experiments"


class ResizingASHA(ASHA):
    """Resizes at every third epoch."""

    def on_trial_result(self, trial, result):
        decision = super().on_trial_result(trial=trial, result=result)
        if decision == "CONTINUE" and result["epoch"] % 3 == 0:
            trial.resize(1 + (trial.num_devices % 2))
        return decision


@pytest.mark.slow  # tests/backends/local/test_backend.py does the same with scripts
def test_trials_are_resized_and_promoted_under_the_stock_tuner(experiments):
    space = {"x": uniform(0, 1), "epochs": 27}
    scheduler = ResizingASHA(
        space, "loss", "epoch", max_t=27, type="promotion", max_resource_attr="epochs", random_seed=1
    )
    tuner = Tuner(
        make_backend(make_train(0.03), space), scheduler, StoppingCriterion(max_num_evaluations=100), n_workers=3,
        sleep_time=0.02, results_update_interval=1,
    )  # fmt: skip
    assert tuner.name.startswith("train-")
    tuner.run()
    run = load_run(tuner.tuner_path, time_attr="epoch")
    assert check_run(run) == ()
    assert sum(event.event == "exit" and event.reason == "resize" for event in run.events) >= 1
    assert sum(event.event == "resume" for event in run.events) >= 1
    table = read_csv(tuner.tuner_path / "results.csv.zip")
    assert set(table.st_num_devices) == {1, 2}
    assert (table.groupby("trial_id").epoch.min() == 1).all()


NOTEBOOK = """
import events  # a module of the user's that has the name of one of the backend's
import sys
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform
from tests.reporter import Reporter
from syne_hypersched import ASHA, ElasticLocalBackend, ElasticPythonBackend

SCALE = 10

class Model:
    def __init__(self, x):
        super().__init__()
        self.x = x

    def loss(self):
        return SCALE * self.x + events.BIAS

def train(x, epochs=2):
    report = Reporter()
    for epoch in range(1, epochs + 1):
        report(epoch=epoch, loss=Model(x).loss())

space = {"x": uniform(0, 1)}
backend = ElasticPythonBackend(train, space, 2, device_type="cpu", launch=sys.argv[1])
scheduler = ASHA(space, "loss", "epoch", max_t=2, random_seed=1)
tuner = Tuner(
    backend, scheduler, StoppingCriterion(max_num_trials_finished=2), 2, sleep_time=0.02, tuner_name="notebook",
    suffix_tuner_name=False,
)
tuner.run()
"""


@pytest.mark.parametrize("launch", ["warm", pytest.param("cold", marks=pytest.mark.slow)])
def test_what_is_defined_beside_the_function_in_main_works(experiments, tmp_path, forked, launch):
    (tmp_path / "events.py").write_text("BIAS = 100")
    (tmp_path / "launch.py").write_text(NOTEBOOK)
    code = textwrap.dedent(
        f"""
        from syne_tune import Tuner
        backend = Tuner.load({str(experiments / "notebook")!r}).trial_backend
        trial = backend.start_trial({{"x": 0.5}})
        while not (reports := backend.fetch_status_results([trial.trial_id])[1]):
            pass
        print(reports[0][1]["loss"])
        backend.stop_all()
        """
    )
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    for command in ([str(tmp_path / "launch.py"), launch], ["-c", code]):
        done = forked.run(command, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) == 105  # of a trial of the loaded backend, whose process has no such function
    table = read_csv(experiments / "notebook" / "results.csv.zip")
    assert len(table) >= 2
    assert list(table.loss) == pytest.approx(list(10 * table.config_x + 100))


def constant(x):
    from tests.reporter import Reporter

    Reporter()(loss=1.0)


def test_a_changed_function_in_the_folder_of_an_old_experiment_is_refused(tmp_path, wait_for):
    def start(function):
        backend = make_backend(function, {"x": 1.0})
        backend.set_path(str(tmp_path / "run"))
        return run_trial(backend, {"x": 1.0}, wait_for)

    start(constant)
    assert start(constant)[1] == Status.completed
    stored = (tmp_path / "run" / "tune_function" / "tune_function.dill").read_bytes()
    with pytest.raises(ValueError, match=r"must be the one .* constant with fingerprint .* another tuner_name"):
        start(lambda x: None)
    assert (tmp_path / "run" / "tune_function" / "tune_function.dill").read_bytes() == stored


def test_a_function_that_was_replaced_in_its_folder_is_not_called(tmp_path, wait_for, caplog):
    backend = make_backend(constant, {"x": 1.0})
    backend.set_path(str(tmp_path / "run"))
    run_trial(backend, {"x": 1.0}, wait_for)
    path = tmp_path / "run" / "tune_function" / "tune_function.dill"
    path.write_bytes(path.read_bytes() + b"more")
    copy = dill.loads(dill.dumps(backend))
    reports, status = run_trial(copy, {"x": 1.0}, wait_for)
    assert (reports, status) == ([], Status.failed)
    assert "must hold the function that the trial was started with" in caplog.text


def test_a_function_whose_result_nothing_runs_fails_at_once(tmp_path, wait_for, caplog):
    def train(x):
        return (print(x) for _ in range(3))

    backend = make_backend(train, {"x": 1.0})
    backend.set_path(str(tmp_path / "run"))
    reports, status = run_trial(backend, {"x": 1.0}, wait_for)
    assert (reports, status) == ([], Status.failed)
    assert (
        "it has returned a generator object, which nothing runs; inside the function, a loop can run it" in caplog.text
    )
    assert "retry" not in caplog.text


def test_what_the_function_uses_is_preloaded(tmp_path, wait_for):
    def train(x):

        loaded = sorted({"sklearn", "dill", "numpy"} & set(sys.modules))
        from sklearn.linear_model import SGDClassifier
        from syne_tune import Reporter

        Reporter()(loss=SGDClassifier(alpha=x).alpha, loaded=loaded)

    backend = make_backend(train, {"x": 1.0})
    backend.set_path(str(tmp_path / "run"))
    (report,), _ = run_trial(backend, {"x": 0.5}, wait_for)
    assert report["loaded"] == ["dill", "numpy", "sklearn"]
    assert report["loss"] == 0.5
    (setup, *_) = read_events(tmp_path / "run" / "events.jsonl")
    assert setup.event == "setup"
    assert setup.details["mode"] == "warm"


@pytest.mark.parametrize(
    ("value", "named"),
    [((1, 2), r"x has \(1, 2\)"), (object(), "x has <object"), (choice([(1, 2), (3, 4)]), r"x has \(1, 2\)"),
     ({1: 2}, r"x has \{1: 2\}"), (float("nan"), "x has nan"), (choice([b"a", b"b"]), "x has b'a'")],
)  # fmt: skip
def test_values_that_json_does_not_keep_are_refused(value, named):
    with pytest.raises(ValueError, match=f"config_space must hold values that JSON keeps.*but {named}"):
        make_backend(constant, {"x": value})


@pytest.mark.parametrize("space", [None, ["x"], {1: 2}])
def test_a_space_that_is_none_is_refused(space):
    with pytest.raises(TypeError, match="config_space must map names to domains and constants, but got"):
        make_backend(constant, space)


def test_arguments_are_checked_against_the_space():
    with pytest.raises(TypeError, match="must have arguments that are in config_space"):
        make_backend(constant, {})
    with pytest.raises(TypeError, match="must take every entry of config_space by keyword, but not y"):
        make_backend(constant, {"x": finrange(0, 1, 3), "y": 1})


@pytest.mark.parametrize("option", [{"entry_point": "a.py"}, {"binary": "python"}, {"pass_args_as_json": True}])
def test_options_of_scripts_are_refused(option):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{next(iter(option))}'"):
        make_backend(constant, {"x": 1.0}, **option)


def test_other_options_are_those_of_the_local_backend():
    ours = inspect.signature(ElasticPythonBackend).parameters
    local = inspect.signature(ElasticLocalBackend).parameters
    without = {"entry_point", "binary", "pass_args_as_json", "arguments"}
    assert set(ours) - {"tune_function", "config_space"} == set(local) - without
    for name in set(ours) & set(local):
        assert ours[name] == local[name], name


def test_every_option_is_passed_on(tmp_path):
    given = {
        "num_devices_per_trial": 2,
        "device_type": "cpu",
        "processes": "single",
        "launch": "cold",
        "preload": ["json"],
        "grace_s": 0.25,
        "time_attr": "epoch",
        "retries": 5,
        "retry_backoff_s": 0.5,
        "stall_timeout_s": 30.0,
        "min_free_mb": 7.0,
        "delete_checkpoints": True,
        "share_devices": True,
    }
    backend = make_backend(constant, {"x": 1.0}, **given)
    policy = backend._fleet._state.policy
    assert given == {
        "num_devices_per_trial": backend.num_devices_per_trial,
        "device_type": "cpu" if backend.devices.names[0].startswith("cpu") else "gpu",
        "processes": "per_device" if backend._per_device else "single",
        "launch": backend.launch_mode,
        "preload": list(backend._preload),
        "grace_s": backend.grace_s,
        "time_attr": backend._fleet.time_attr,
        "retries": policy.retries,
        "retry_backoff_s": policy.retry_backoff_s,
        "stall_timeout_s": policy.stall_timeout_s,
        "min_free_mb": policy.min_free_mb,
        "delete_checkpoints": backend.delete_checkpoints,
        "share_devices": backend._share_devices,
    }


def test_an_option_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r'processes must be "per_device" or "single"'):
        make_backend(constant, {"x": 1.0}, processes="many")
    with pytest.raises(TypeError, match="unexpected keyword argument 'num_gpus'"):
        make_backend(constant, {"x": 1.0}, num_gpus=1)
    assert str(make_backend(constant, {"x": 1.0}, num_devices=3)) == "elastic local function constant on 3 devices"
    assert str(make_backend(lambda x: 0, {"x": 1.0}).entrypoint_path()) == "function"


def test_a_function_that_another_version_of_python_has_stored_is_refused_at_the_door(tmp_path):
    """It is compiled code, which fails in each trial in words that nobody understands."""
    backend = ElasticPythonBackend(lambda x: None, {"x": uniform(0, 1)}, 1, device_type="cpu")
    backend._function = dataclasses.replace(backend._function, python="3.9")
    loaded = dill.loads(dill.dumps(backend))
    with pytest.raises(RuntimeError, match=r"Python must be of the version 3\.9, which has stored tune_function"):
        loaded.set_path(str(tmp_path))
