"""Which modules the preloading server imports for a script."""

from __future__ import annotations

from syne_hypersched.backends.local._preload import heavy_modules, modules_to_preload


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


def test_a_script_that_cannot_be_parsed_preloads_nothing(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("def f(:")
    assert modules_to_preload(script) == ()
    assert modules_to_preload(tmp_path / "nothing.py") == ()
