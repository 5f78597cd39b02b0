"""A warm launch equals ``python SCRIPT``: each script runs in both ways, with the same results."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from pathlib import Path

import pytest

from syne_hypersched.launch import Launcher, LaunchSpec, RankSpec
from tests.launch.scripts import SCRIPTS

pytestmark = pytest.mark.usefixtures("no_process_left")

#: What differs between two runs of one program: addresses, and names that are drawn at random.
CHANGING = re.compile(rb"0x[0-9a-f]+|tmp\w{8}")


class Outcomes:
    """Exit codes and files of all scripts, warm and cold."""

    def __init__(self, folder: Path, learns: bool = False) -> None:
        self._folder = folder
        self._left: dict[int, tuple[str, bool]] = {}
        self._exits: dict[tuple[str, bool], int | None] = {}
        self._ended = threading.Event()
        # Without what the tests themselves were started with, such as PYTHONUNBUFFERED.
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        launcher = Launcher(
            lambda *_: None, self._on_exit, log_path=folder / "server.log", environment=lambda: self._env,
            named=() if learns else None,
        )  # fmt: skip
        try:
            if learns:
                self._teach(launcher)
            for name, text in SCRIPTS.items():
                for warm in (True, False):
                    self._launch(launcher, name, text, warm)
            self._launch(launcher, "", "", True)  # nothing has ended before it is known what all is
            assert self._ended.wait(100), f"{set(self._left.values()) - self._exits.keys()} do not end"
        finally:
            launcher.close()

    def _teach(self, launcher: Launcher) -> None:
        """Has a launch import what is slow, and waits until later ones have it."""
        (self._folder / "site-packages").mkdir()
        self._env["PYTHONPATH"] = str(self._folder / "site-packages")
        (self._folder / "site-packages" / "some_slow.py").write_text(
            "import time\nwhile time.thread_time() < 0.5:\n    pass\n"
        )
        (self._folder / "first.py").write_text("import some_slow\n")
        learnt = threading.Event()
        handler = logging.Handler()
        handler.emit = lambda record: learnt.set() if "some_slow loaded" in record.getMessage() else None
        logger = logging.getLogger("syne_hypersched.launch._launcher")
        level = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        try:
            rank = RankSpec(self._env, str(self._folder / "first.out"), str(self._folder / "first.err"))
            spec = LaunchSpec((str(self._folder / "first.py"),), (rank,), True, 1.0, str(self._folder))
            self._left[launcher.launch(spec)] = ("first", True)
            assert learnt.wait(100)
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
        self._exits.clear()

    def _launch(self, launcher: Launcher, name: str, text: str, warm: bool) -> None:
        # The folders of both have names of one length, and the script sees no difference but in the name.
        folder = self.folder(name, warm)
        folder.mkdir(parents=True)
        (folder / "helper.py").write_text('f = open("helped", "w")\nf.write("x")\ndef use():\n    return f\n')
        (folder / "train.py").write_text(text)
        argv = (str(folder / "train.py"), "--a", "b c")
        rank = RankSpec(self._env, str(folder / "out"), str(folder / "err"))
        spec = LaunchSpec(argv if warm else (sys.executable, *argv), (rank,), warm, 1.0, str(folder))
        self._left[launcher.launch(spec)] = (name, warm)

    def _on_exit(self, launch, exit_, moment):
        self._exits[launch] = exit_.exit_code
        if len(self._exits) == 2 * len(SCRIPTS) + 1:
            self._ended.set()

    def folder(self, name: str, warm: bool) -> Path:
        return self._folder / ("warm" if warm else "cold") / re.sub(r"\W", "_", name or "last")

    def left(self, name: str, warm: bool) -> dict[str, object]:
        """The results of a script: exit code, logs and files."""
        (launch,) = (launch for launch, known in self._left.items() if known == (name, warm))
        folder = self.folder(name, warm)
        content: dict[str, object] = {"exit code": self._exits[launch]}
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name not in ("train.py", "helper.py") and path.suffix != ".pyc":
                data = path.read_bytes().replace(str(folder).encode(), b"FOLDER")
                content[path.name] = len(data) if path.name == "db" else CHANGING.sub(b"...", data)
        return content


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    return Outcomes(tmp_path_factory.mktemp("scripts"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_warm_is_as_cold(outcomes, name):
    cold = outcomes.left(name, warm=False)
    assert outcomes.left(name, warm=True) == cold
    assert cold != {"exit code": 0, "out": b"", "err": b""}, "shows nothing"


@pytest.fixture(scope="module")
def learnt_outcomes(tmp_path_factory):
    return Outcomes(tmp_path_factory.mktemp("learnt"), learns=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_warm_is_as_cold_after_learning(learnt_outcomes, name):
    cold = learnt_outcomes.left(name, warm=False)
    assert learnt_outcomes.left(name, warm=True) == cold
