"""Runs the core of the tests on other Pythons, and once with the lowest versions that pyproject.toml promises.

    python .ci/test_pythons.py
    python .ci/test_pythons.py 3.12 lowest

The core is what needs neither PyTorch nor notebooks; tests that need PyTorch skip. Interpreters are found by name
(``python3.12``) or among pyenv's; where one is missing, that is said and the others are run. The environments are kept
in ``.venv/pythons/`` and made anew when pyproject.toml or constraints.txt have changed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venv" / "pythons"
PYTHONS = ("3.10", "3.12", "3.13")
LOWEST = "lowest"
#: The lowest versions are tried on the oldest Python, for which all of them have wheels.
LOWEST_PYTHON = "3.10"
EXTRAS = ("benchmarks", "gpu", "test")
#: They need notebooks, or are about scripts beside the package.
NOT_CORE = ("benchmarking", "examples", "notebooks", "test_docs.py", "test_readme.py")


def find_python(version: str) -> str | None:
    """The interpreter of a version; None if this machine has none."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = sorted(
        root.glob(f"versions/{version}.*/bin/python"), key=lambda path: [int(n) for n in re.findall(r"\d+", str(path))]
    )
    # A name may be pyenv's shim, which fails unless that version is switched on.
    for path in (*reversed(installed), shutil.which(f"python{version}")):
        if path is None:
            continue
        say = "import sys; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([path, "-c", say], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return str(path)
    return None


def lowest_versions() -> list[str]:
    """The lower bounds of all that the package and ``EXTRAS`` depend on, as lines of a constraints file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = set()
    left, seen = list(project["dependencies"]), set()
    extras = list(EXTRAS)
    while left or extras:
        if not left:
            left += project["optional-dependencies"][extras.pop()]
        requirement = Requirement(left.pop())
        if requirement.name == project["name"]:
            extras += requirement.extras - seen
            seen |= requirement.extras
            continue
        lines |= {f"{requirement.name}=={each.version}" for each in requirement.specifier if each.operator == ">="}
    return sorted(lines)


def make_environment(name: str, python: str, constraints: Path) -> Path:
    """Installs the package in an environment of its own, unless it is there and up to date; returns its interpreter."""
    folder = ENVIRONMENTS / name
    installed = folder / ".installed"
    sources = [ROOT / "pyproject.toml", constraints]
    if not installed.exists() or any(path.stat().st_mtime > installed.stat().st_mtime for path in sources):
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
        subprocess.run(
            [
                *(folder / "bin" / "python", "-m", "pip", "install", "-qq", "--disable-pip-version-check"),
                *("--constraint", constraints, "--editable", f"{ROOT}[{','.join(EXTRAS)}]"),
            ],
            check=True,
        )
        installed.touch()
    return folder / "bin" / "python"


def run(name: str, num_workers: int) -> int | None:
    """Runs the core on one of ``PYTHONS``, or with the lowest versions.

    Returns
    -------
    int or None
        The exit code of pytest, or of what could not install it; None if there is no interpreter.
    """
    version = LOWEST_PYTHON if name == LOWEST else name
    python = find_python(version)
    if python is None:
        print(f"skipped {name}: there is no python{version}, neither by name nor under pyenv", flush=True)
        return None
    constraints = ROOT / "constraints.txt"
    if name == LOWEST:
        constraints = ENVIRONMENTS / "lowest.txt"
        text = "\n".join(lowest_versions()) + "\n"
        if not constraints.exists() or constraints.read_text() != text:
            constraints.parent.mkdir(parents=True, exist_ok=True)
            constraints.write_text(text)
    print(f"{name}: {python}", flush=True)
    try:
        interpreter = make_environment(name, python, constraints)
    except subprocess.CalledProcessError as error:
        return error.returncode
    others = [f"--ignore=tests/{each}" for each in NOT_CORE]
    command = [interpreter, "-m", "pytest", "-q", f"--numprocesses={num_workers}", "--dist=worksteal"]
    return subprocess.run([*command, "-p", "no:cacheprovider", *others], cwd=ROOT, check=False).returncode


def main() -> int:
    """Runs them all, and says at the end how each has ended."""
    names = (*PYTHONS, LOWEST)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"which of {', '.join(names)}; by default all")
    parser.add_argument("--workers", type=int, default=4, help="tests that run at the same time")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in names:
            parser.error(f"names must be among {', '.join(names)}, but got {name!r}")
    codes = {name: run(name, arguments.workers) for name in arguments.names or names}
    for name, code in codes.items():
        print(f"{name}: {'skipped' if code is None else 'passed' if code == 0 else f'FAILED ({code})'}")
    return int(any(codes.values()))


if __name__ == "__main__":
    sys.exit(main())
