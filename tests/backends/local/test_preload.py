"""Which modules the preloading server imports for a script."""

from __future__ import annotations

import pytest
from syne_tune.backend.trial_status import Status

from syne_hypersched import ElasticLocalBackend
from syne_hypersched.backends.local._preload import PreloadPlan, heavy_modules, modules_to_preload, plan_preloading


def test_heavy_libraries_that_the_script_imports(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        "import os, numpy as np\nfrom sklearn.datasets import load_digits\nimport my_model\nfrom . import x\n"
        "def main():\n    import torch.nn.functional as F\n    import tensorflow\n"
    )
    assert modules_to_preload(script) == ("numpy", "sklearn.datasets", "torch.nn.functional", "torch._dynamo")


def test_what_elastic_runs_import_when_they_report():
    assert heavy_modules(["syne_hypersched.training", "torchmetrics"]) == (
        "syne_hypersched.training",
        "syne_tune.report",
    )


def test_libraries_that_read_what_the_script_sets_are_not_preloaded(tmp_path, caplog):
    script = tmp_path / "train.py"
    script.write_text("import os\nos.environ['OMP_PROC_BIND'] = 'true'\nimport numpy\n")
    assert modules_to_preload(script) == ()
    assert "train.py names OMP_PROC_BIND, which libraries read when they are loaded" in caplog.text
    script.write_text(
        "import os\nos.environ['OMP_NUM_THREADS'] = '1'\nos.environ['PYTHONHASHSEED'] = '1'\nimport numpy\n"
    )
    assert modules_to_preload(script) == ("numpy",)


def test_what_named_modules_import_when_they_are_used_is_preloaded_with_them(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("import torch\n")
    plan = plan_preloading(script, ["wave", "torch", "torch.nn"])
    assert plan == PreloadPlan(("wave", "torch", "torch.nn", "torch._dynamo"))
    assert modules_to_preload(script, ["torch._dynamo"]) == ("torch._dynamo",)
    assert modules_to_preload(script, ["wave"]) == ("wave",)
    assert modules_to_preload(script, ()) == ()
    assert modules_to_preload(tmp_path / "nothing.py", ["torch"]) == ("torch",)
    script.write_text("import os\nos.environ['TORCHDYNAMO_DISABLE'] = '1'\nimport torch\n")
    assert modules_to_preload(script, ["torch"]) == ("torch",)


def test_a_script_that_cannot_be_parsed_preloads_nothing(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("def f(:")
    assert modules_to_preload(script) == ()
    assert modules_to_preload(tmp_path / "nothing.py") == ()


def test_modules_beside_the_script_are_followed(tmp_path):
    files = {
        "train.py": "import models.big\nfrom helper import run\nimport nothing.there\n",
        "helper.py": "import helper, os\nimport numpy.linalg\n",
        "models/__init__.py": "from . import parts\n",
        "models/big.py": "from .parts import x\nfrom ..outside import y\nimport sklearn\nOPTION = 'MY_OPTION'\n",
        "models/parts.py": "from torch import nn\n",
        "models/unused.py": "import pandas\n",
        "broken.py": "def f(:",
        "other/plain.py": "import scipy\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    plan = plan_preloading(tmp_path / "train.py")
    assert set(plan.modules) == {"numpy.linalg", "sklearn", "torch", "torch._dynamo"}
    assert plan.named == {"MY_OPTION"}
    (tmp_path / "train.py").write_text("import broken\nimport other.plain\n")
    assert plan_preloading(tmp_path / "train.py").modules == ("scipy",)


def test_a_module_beside_the_script_may_set_variables_too(tmp_path, caplog):
    (tmp_path / "train.py").write_text("import setup_threads\nimport numpy\n")
    (tmp_path / "setup_threads.py").write_text("import os\nos.environ['MKL_DYNAMIC'] = 'x'\n")
    assert plan_preloading(tmp_path / "train.py") == PreloadPlan((), None)
    assert "MKL_DYNAMIC" in caplog.text


@pytest.mark.usefixtures("no_process_left")
def test_the_second_trial_starts_with_what_the_first_one_has_imported(tmp_path, monkeypatch, wait_for, caplog):
    caplog.set_level("INFO")
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "some_slow.py").write_text(
        "import time\nbegan = time.thread_time()\nwhile time.thread_time() < began + 0.2:\n    pass\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site-packages"))
    (tmp_path / "model.py").write_text("import some_slow\n")
    (tmp_path / "train.py").write_text(
        "import sys\nis_there = 'some_slow' in sys.modules\nimport model\n"
        'print(\'[tune-metric]: {"epoch": 1, "is_there": %d}\' % is_there)\n'
    )
    backend = ElasticLocalBackend(tmp_path / "train.py", num_devices=1, device_type="cpu", share_devices=True)
    backend.set_path(str(tmp_path / "results"))
    try:
        found = []
        for _ in range(2):
            trial_id = backend.start_trial({}).trial_id

            def has_ended(trial_id=trial_id):
                statuses, reports = backend.fetch_status_results([trial_id])
                found.extend(report["is_there"] for _, report in reports)
                return statuses[trial_id][1] != Status.in_progress

            wait_for(has_ended)
            wait_for(lambda: "From now on trials start with some_slow loaded" in caplog.text)
        assert found == [0, 1]
    finally:
        backend.stop_all()
