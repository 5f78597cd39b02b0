"""A library that is missing is named in one sentence, with the extra that brings it."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, sys

MISSING = ("torch", "rich", "botorch", "gpytorch", "huggingface_hub", "matplotlib", "fastparquet", "pytest", "ray",
           "lightgbm", "lightning", "pytorch_lightning", "transformers", "xgboost")

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())

def training():
    from syne_hypersched.training import ElasticRun

def part_of_training():
    import syne_hypersched.training._loader

def testing():
    import syne_hypersched.testing

def panel():
    from syne_hypersched.experiments import LiveProgress
    LiveProgress(panel=True)

def searcher(name="botorch"):
    from syne_tune.config_space import uniform
    from syne_hypersched import ASHA
    ASHA({"x": uniform(0, 1)}, metric="loss", time_attr="epoch", max_t=9, searcher=name)

def other_searcher():
    searcher("cqr")

def repository():
    from syne_hypersched.blackboxes import load_from_repository
    load_from_repository("lcbench")

def picture():
    from syne_hypersched.experiments import Report, Run, draw_run
    draw_run(Run("loss", True, "epoch", (Report(0, 1.0, 1, 1.0),)))

def cluster():
    from syne_hypersched import ElasticRayBackend
    ElasticRayBackend(__file__ if "__file__" in globals() else "script.py")

def huggingface():
    import syne_hypersched.integrations.huggingface

def lightning():
    import syne_hypersched.integrations.lightning

def pytorch_lightning():
    import syne_hypersched.integrations.pytorch_lightning

def xgboost():
    import syne_hypersched.integrations.xgboost

def lightgbm():
    import syne_hypersched.integrations.lightgbm

frameworks = huggingface, lightning, pytorch_lightning, xgboost, lightgbm
others = cluster, training, part_of_training, testing, panel, searcher, other_searcher, repository, picture
found = {}
for function in (*frameworks, *others):
    try:
        function()
        found[function.__name__] = None
    except BaseException as error:
        found[function.__name__] = (isinstance(error, ImportError), str(error))
print(json.dumps(found))
"""


def test_every_missing_library_names_the_extra():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name, extra in (
        ("cluster", "ray"),
        ("training", "torch"),
        ("part_of_training", "torch"),
        ("testing", "test"),
        ("panel", "demo"),
        ("searcher", "searchers"),
        ("other_searcher", "searchers"),
        ("repository", "benchmarks"),
        ("picture", "plots"),
        ("huggingface", "huggingface"),
        ("lightning", "lightning"),
        ("pytorch_lightning", "pytorch-lightning"),
        ("xgboost", "xgboost"),
        ("lightgbm", "lightgbm"),
    ):
        is_import_error, message = found[name]
        assert is_import_error, message
        assert f"syne-hypersched[{extra}]" in message
        assert "\n" not in message
    expected = 'syne_hypersched.training needs torch, which is not installed: pip install "syne-hypersched[torch]"'
    assert found["training"][1] == expected
