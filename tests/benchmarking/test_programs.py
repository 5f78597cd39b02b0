"""Every program of benchmarking/ can be run from the repository's root and is listed in its README."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarking"
MODULES = sorted(path for path in FOLDER.glob("*/*.py") if path.name != "__init__.py")
#: Trials run these, with arguments that a tuner gives.
TRAINING_SCRIPTS = {
    "chaos_script.py",
    "check_script.py",
    "checkpoint_script.py",
    "cluster_script.py",
    "cluster_tuning.py",
    "counting_script.py",
    "joining_script.py",
}
PROGRAMS = [
    path for path in MODULES if "__main__" in path.read_text(encoding="utf-8") and path.name not in TRAINING_SCRIPTS
]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_readme_has_a_line_for_each_program_and_names_each_module():
    sections = (FOLDER / "README.md").read_text(encoding="utf-8").split("\n## ")
    group_of = {re.match(r"`(\w+)/`", section)[1]: section for section in sections[1:]}
    assert set(group_of) == {path.parent.name for path in MODULES}
    for path in MODULES:
        section = group_of[path.parent.name]
        assert (f"| `{path.name}" in section) == (path in PROGRAMS), name_of(path)
        assert f"`{path.name}" in section, name_of(path)
    for group, section in group_of.items():
        for name in re.findall(r"`(\w+\.py)", section):
            assert (FOLDER / group / name).is_file(), f"{group}/{name}"


def test_what_is_imported_from_benchmarking_is_found_without_an_installation():
    for path in PROGRAMS:
        source = path.read_text(encoding="utf-8")
        if "from benchmarking" in source:
            put = source.index("sys.path.insert(0, str(Path(__file__).resolve().parents[2]))")
            assert put < source.index("from benchmarking"), name_of(path)


def test_documents_name_programs_that_exist():
    for document in (ROOT / "README.md", ROOT / "Makefile", *(ROOT / "docs").glob("*.md"), *FOLDER.glob("*/*.py")):
        for name in re.findall(r"\bbenchmarking/[\w/]+\.py\b", document.read_text(encoding="utf-8")):
            assert (ROOT / name).is_file(), f"{document.name}: {name}"


@pytest.mark.slow
@pytest.mark.parametrize("path", [*PROGRAMS, FOLDER / "launch_hpo.py"], ids=name_of)
def test_a_program_explains_itself(path):
    command = [sys.executable, name_of(path), "--help"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "--help" in ended.stdout
