from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import syne_hypersched

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent


def test_importing_the_package_imports_neither_torch_nor_syne_tune() -> None:
    code = (
        "import sys, syne_hypersched, syne_hypersched.contract\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('torch', 'syne_tune', 'numpy', 'pandas')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_using_schedulers_and_backends_does_not_import_torch() -> None:
    code = (
        "import sys, syne_hypersched\n"
        "for name in syne_hypersched.__all__: getattr(syne_hypersched, name)\n"
        "import syne_hypersched.experiments\n"
        "print('torch' in sys.modules, 'matplotlib' in sys.modules, 'rich' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False False False"


@pytest.mark.parametrize("name", syne_hypersched.__all__)
def test_public_name_resolves(name: str) -> None:
    value = getattr(syne_hypersched, name)
    assert name in dir(syne_hypersched)
    if name != "__version__":
        assert value.__name__ == name


def test_public_names_are_those_that_type_checkers_see() -> None:
    source = Path(syne_hypersched.__file__).read_text(encoding="utf-8")
    for name in syne_hypersched.__all__:
        assert name == "__version__" or f"import {name} as {name}\n" in source


def test_unknown_name_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Hyperband', only ASHA"):
        _ = syne_hypersched.Hyperband


def test_version_is_that_of_the_distribution() -> None:
    assert version("syne-hypersched") == syne_hypersched.__version__


def test_every_extra_that_make_installs_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    used = {part.split()[0] for part in makefile.split(".installed-")[1:] if not part.startswith("%")}
    assert used == {"benchmarks", "demo", "dev", "docs", "release"}
    assert used <= set(project["optional-dependencies"])
