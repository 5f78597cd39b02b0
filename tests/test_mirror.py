"""The tests mirror the tree: a module of some length has a test file of its own, or is named here with its tests."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "syne_hypersched"
TESTS = ROOT / "tests"
#: Shorter modules may be tested with others.
MOST_LINES = 60

#: Modules without a test file of their own, and the test files that test them.
ELSEWHERE = {
    "backends/ray/_depot.py": "backends/ray/test_carrier.py",
    "backends/ray/_node_place.py": "backends/ray/test_streamed.py",
    "training/_sharded.py": "training/test_elastic_processes.py",
    "tuning/scripts/digits_mlp.py": "tuning/test_demo.py",
    # Arguments that are passed on, and values without behaviour.
    "checkpoints/_bill.py": "checkpoints/test_moving.py",
    "checkpoints/_spec.py": "checkpoints/test_observer.py",
    "experiments/resume.py": "recovery/test_resume.py",
    # One test of several libraries, with what they have in common.
    "integrations/_ranks.py": "integrations/test_huggingface.py",
    "integrations/lightgbm.py": "integrations/test_boosting.py",
    "integrations/xgboost.py": "integrations/test_boosting.py",
    "integrations/mlflow.py": "integrations/test_loggers.py",
    "integrations/tensorboard.py": "integrations/test_loggers.py",
    "integrations/wandb.py": "integrations/test_loggers.py",
    # Contracts: the tests of those that must keep them.
    "testing/backend_contract.py": "backends/test_contract.py",
    "testing/scheduler_contract.py": "schedulers/test_contract.py",
}


def own_test(module: str) -> str:
    """Where the test file of a module would be, relative to ``tests``: ``a/_b.py`` is tested by ``a/test_b.py``."""
    path = Path(module)
    return str(path.with_name(f"test_{path.name.lstrip('_')}"))


def modules_without_own_test() -> list[str]:
    modules = [
        path.relative_to(PACKAGE).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name not in ("__init__.py", "__main__.py")
        and len(path.read_text(encoding="utf-8").splitlines()) > MOST_LINES
    ]
    assert len(modules) > 200
    return [module for module in modules if not (TESTS / own_test(module)).is_file()]


def test_every_module_has_a_test_file_of_its_own():
    new = sorted(set(modules_without_own_test()) - set(ELSEWHERE))
    assert not new, "\n".join(["", *(f"{module}: tests/{own_test(module)} is missing" for module in new)])


def test_modules_that_are_tested_elsewhere_still_are():
    gone = sorted(set(ELSEWHERE) - set(modules_without_own_test()))
    assert not gone, f"to be removed from ELSEWHERE, since these have a test file of their own: {gone}"


@pytest.mark.parametrize("module", ELSEWHERE)
def test_the_test_file_that_is_named_is_there(module):
    assert (TESTS / ELSEWHERE[module]).is_file()


def test_names_of_test_files():
    assert own_test("a/_b.py") == "a/test_b.py"
    assert own_test("c.py") == "test_c.py"
