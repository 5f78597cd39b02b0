"""The path of a stranger, timed: install the wheel in an empty folder, and take the steps of ``docs/start.md``.

Builds the wheel, makes a virtual environment in a temporary folder, installs the wheel with pip, runs ``hypersched
demo``, writes the training script of the page and tunes it with the command of the page, and looks at the run, also as
a page of one file. No file of the repository is needed once the wheel is built: the folder is empty, and the package
comes from its environment.
Prints the seconds of each step; exits with 1 if a step fails, or if all of them take more than five minutes.

    python benchmarking/speed/strangers_path.py
    python benchmarking/speed/strangers_path.py --wheel dist/syne_hypersched-0.1.0-py3-none-any.whl --python python3.12
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "start.md"
EXTRAS = "plots,web"
MOST_S = 300.0

_BLOCK = re.compile(r"^```(?P<language>\S*)(?: file=(?P<file>\S+))?\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def files_of(page: str) -> dict[str, str]:
    """The files that a page has the reader write."""
    return {block["file"]: block["code"] for block in _BLOCK.finditer(page) if block["file"]}


def commands_of(page: str) -> Iterator[list[str]]:
    """The commands ``hypersched`` of a page, in order."""
    for block in _BLOCK.finditer(page):
        if block["language"] == "bash":
            for line in block["code"].replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["hypersched"]:
                    yield words


def pages_of(page: str) -> list[str]:
    """The pages of runs that the commands of a page write."""
    return [word.removeprefix("--html=") for words in commands_of(page) for word in words if word.startswith("--html=")]


def build_wheel(folder: Path) -> Path:
    """Builds the wheel of this repository."""
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    return wheel


def work_s() -> float:
    """Seconds of cores that all commands so far have taken, which says more on a busy machine."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def take_steps(wheel: Path, python: str, folder: Path) -> dict[str, float]:
    """Takes all steps in an empty folder; the seconds of each.

    Raises
    ------
    RuntimeError
        A step has failed; the message has the end of its output.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["SYNETUNE_FOLDER"] = str(folder / "experiments")
    home, work = folder / "environment", folder / "empty"
    work.mkdir()
    seconds: dict[str, float] = {}

    def step(name: str, command: Sequence[str | Path]) -> str:
        began, worked = time.monotonic(), work_s()
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
        seconds[name] = time.monotonic() - began
        print(f"{seconds[name]:7.1f} s, {work_s() - worked:6.1f} s of a core  {name}", flush=True)
        if done.returncode:
            raise RuntimeError(f"{name}: exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return done.stdout

    step("python -m venv", [python, "-m", "venv", home])
    step(f"pip install 'syne-hypersched[{EXTRAS}]'", [home / "bin" / "pip", "install", "-q", f"{wheel}[{EXTRAS}]"])
    page = PAGE.read_text(encoding="utf-8")
    for name, code in files_of(page).items():
        (work / name).write_text(code, encoding="utf-8")
    step("hypersched --help", [home / "bin" / "hypersched", "--help"])
    for words in commands_of(page):
        step(shlex.join(words), [home / "bin" / words[0], *words[1:]])
    for name in pages_of(page):
        if "</html>" not in (work / name).read_text(encoding="utf-8"):
            raise RuntimeError(f"{name} must be a page, but it is not whole")
    where = step("import", [home / "bin" / "python", "-c", "import syne_hypersched; print(syne_hypersched.__file__)"])
    if not where.startswith(str(home)):
        raise RuntimeError(f"the package must come from the wheel, but came from {where}")
    return seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Takes the path and prints its steps; 0 if it leads to its end in five minutes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="the wheel; by default it is built")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the environment")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="stranger-") as name:
        folder = Path(name)
        wheel = build_wheel(folder / "wheel") if options.wheel is None else options.wheel.resolve()
        try:
            seconds = take_steps(wheel, options.python, folder)
        except RuntimeError as error:
            print(f"strangers_path: {error}", file=sys.stderr)
            return 1
    total = sum(seconds.values())
    verdict = "within" if total <= MOST_S else "MORE THAN"
    print(f"{total:7.1f} s, {work_s():6.1f} s of a core  in all, {verdict} five minutes")
    return int(total > MOST_S)


if __name__ == "__main__":
    sys.exit(main())
