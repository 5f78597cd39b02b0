"""What is released: one version, an sdist with which both commands work, documents that are a site."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from syne_hypersched import __version__
from syne_hypersched.cli._app import app

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_citation_has_the_version_and_the_licence_of_the_package():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {re.match(r'[0-9.]*[0-9]', __version__)[0]}\n" in citation
    assert f"\nlicense: {PROJECT['project']['license']}\n" in citation


def test_the_version_is_in_one_place():
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "syne_hypersched/_version.py"
    assert "version" in PROJECT["project"]["dynamic"]


def test_the_sdist_has_what_its_commands_need():
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    needed = {"Makefile", "constraints.txt", "CONTRIBUTING.md", *re.findall(r"\$\(BIN\)/python (\w+|\.ci)/", makefile)}
    assert {f"/{name}" for name in needed} <= set(included)
    for name in included:
        assert (ROOT / name[1:]).exists(), name


def test_every_page_is_in_the_navigation_of_the_site():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert f"- {page.relative_to(ROOT / 'docs').as_posix()}\n" in navigation, page.name


def test_every_command_is_explained_on_its_page():
    page = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")
    for command in app:
        assert command.startswith("-") or f"| `hypersched {command}" in page, command


def test_every_target_that_the_workflow_calls_exists():
    workflow = ROOT / ".github" / "workflows" / "ci.yml"
    if not workflow.is_file():
        pytest.skip("an sdist has no workflow")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    called = re.findall(r"make ([a-z-]+)", workflow.read_text(encoding="utf-8"))
    assert called
    for target in called:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "site" / "reference" / "schedulers.html").read_text(encoding="utf-8")
    for name in ("HyperSched", "Adaptive", "ASHA", "PASHA", "ResizeBest"):
        assert f'id="syne_hypersched.{name}"' in reference
    assert "https://" not in "".join(re.findall(r'<(?:script|link)[^>]* (?:src|href)="[^"]*"', reference))


@pytest.mark.slow
def test_wheel_and_sdist_are_what_pypi_takes(tmp_path):
    pytest.importorskip("build")
    pytest.importorskip("twine")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "hatchling" in built.stdout + built.stderr and built.returncode:
        pytest.skip("hatchling is not installed")
    assert built.returncode == 0, built.stdout + built.stderr
    files = [str(path) for path in tmp_path.iterdir()]
    assert len(files) == 2
    checked = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=False)
    assert checked.returncode == 0
