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


@pytest.fixture(scope="module")
def _launches_of_module(tmp_path_factory):
    launches = Launches(tmp_path_factory.mktemp("server"), None)
    launches.launcher.warm_up()
    yield launches
    launches.launcher.close()


@pytest.fixture
def shared_launches(_launches_of_module, tmp_path, wait_for):
    """Launches in the test's folder by a server that other tests of the module use, too, for scripts that end."""
    _launches_of_module.folder, _launches_of_module.wait_for = tmp_path, wait_for
    return _launches_of_module
