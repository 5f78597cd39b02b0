"""Fixtures for tests that launch processes."""

from __future__ import annotations

import os
import sys
import textwrap

import pytest

from syne_hypersched.launch import Launcher, LaunchSpec, RankSpec


class Launches:
    """A launcher, and its messages."""

    def __init__(self, folder, wait_for, preload=()):
        self.folder = folder
        self.wait_for = wait_for
        self.launched = {}
        self.exits = {}
        self.exit_times = {}
        self.launcher = Launcher(self.on_launched, self.on_exit, preload=preload, log_path=folder / "server.log")

    def on_launched(self, launch, pids, moment):
        self.launched[launch] = pids

    def on_exit(self, launch, exit_, moment):
        assert launch not in self.exits, "told twice"
        self.exits[launch], self.exit_times[launch] = exit_, moment

    def script(self, text, name="train.py"):
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        return str(path)

    def spec(self, argv, warm=True, num_ranks=1, env=None, grace_s=0.5, **fields):
        if not warm and argv[0].endswith(".py"):
            argv = [sys.executable, *argv]
        ranks = tuple(
            RankSpec(
                {**os.environ, "RANK": str(rank), **(env or {})},
                f"{self.folder}/out{rank}",
                f"{self.folder}/err{rank}",
                **fields,
            )
            for rank in range(num_ranks)
        )
        return LaunchSpec(tuple(argv), ranks, warm, grace_s, str(self.folder))

    def run(self, argv, **options):
        """Launches and waits for the end."""
        launch = self.launcher.launch(self.spec(argv, **options))
        return self.exit(launch)

    def exit(self, launch):
        self.wait_for(lambda: launch in self.exits)
        return self.exits[launch]

    def lines(self, name):
        path = self.folder / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


@pytest.fixture
def make_launches(tmp_path, wait_for):
    """Makes a launcher with a preload list; it is closed after the test."""
    made = []

    def make(preload=()):
        made.append(Launches(tmp_path, wait_for, preload))
        return made[-1]

    yield make
    for launches in made:
        launches.launcher.close()


@pytest.fixture
def launches(make_launches):
    return make_launches()


class ModuleLaunches(Launches):
    """Launches of all tests of a module by one server, which has been started before the first of them."""

    def __init__(self, folder, preload=()):
        super().__init__(folder, None, preload)
        self.launcher.warm_up()

    def of_test(self, folder, wait_for):
        """Those of one test, whose scripts end by themselves."""
        self.folder, self.wait_for = folder, wait_for
        return self


@pytest.fixture(scope="module")
def make_module_launches(tmp_path_factory):
    """Makes a launcher for the tests of a module; it is closed after them."""
    made = []

    def make(preload=()):
        made.append(ModuleLaunches(tmp_path_factory.mktemp("server"), preload))
        return made[-1]

    yield make
    for launches in made:
        launches.launcher.close()


@pytest.fixture(scope="module")
def module_launches(make_module_launches):
    return make_module_launches()


@pytest.fixture
def shared_launches(module_launches, tmp_path, wait_for):
    """Launches in the test's folder by the server that other tests of the module use, too."""
    return module_launches.of_test(tmp_path, wait_for)
