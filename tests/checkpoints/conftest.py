"""What several tests of checkpoints use."""

from __future__ import annotations

import pytest

from syne_hypersched.checkpoints import _keeper as keeper_module
from syne_hypersched.checkpoints import _matching as matching_module
from tests.checkpoints.obedient import Child
from tests.checkpoints.publishing import Trials
from tests.checkpoints.saving import InProcess, Launches, Server
from tests.checkpoints.seen import Seen
from tests.checkpoints.watched import Watched


@pytest.fixture
def child():
    child = Child()
    yield child
    child.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.launcher.close()


@pytest.fixture
def launches(tmp_path, wait_for, server):
    launches = Launches(tmp_path, wait_for, server)
    yield launches
    launches.close()


@pytest.fixture
def in_process(tmp_path, monkeypatch):
    # Nothing depends on how fast this machine is.
    monkeypatch.setattr(keeper_module, "_PATIENCE_S", 600.0)
    monkeypatch.setattr(matching_module, "LATE_SAVE_S", 600.0)
    monkeypatch.setattr(matching_module, "KNOWN_LATE_SAVE_S", 600.0)
    made = []

    def make(**fields):
        made.append(InProcess(tmp_path, **fields))
        return made[-1]

    yield make
    for each in made:
        each.script.kill()
        each.script.communicate()


@pytest.fixture
def trials(tmp_path):
    return Trials(tmp_path)


@pytest.fixture
def make_watched(tmp_path):
    made = []

    def make():
        made.append(Watched(tmp_path))
        return made[-1]

    yield make
    for watched in made:
        watched.watch.close()


@pytest.fixture
def watched(tmp_path, make_watched):
    (tmp_path / "checkpoints").mkdir()
    return make_watched()


@pytest.fixture
def seen(tmp_path):
    seen = Seen(tmp_path)
    yield seen
    seen.watch.close()
