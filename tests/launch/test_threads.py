"""Numbers of threads of libraries that were loaded before the fork: those of a new process in the same environment."""

from __future__ import annotations

import os
import sys
import textwrap

import pytest

from syne_hypersched.launch import Launcher, LaunchSpec, RankSpec
from syne_hypersched.launch._threads import ThreadPool, loaded_pools

pytestmark = pytest.mark.usefixtures("no_process_left")

CORES = tuple(sorted(os.sched_getaffinity(0)))[:2]
needs_two_cores = pytest.mark.skipif(len(CORES) < 2, reason="needs two cores")

SHOW = """
import threadpoolctl
for pool in sorted(threadpoolctl.threadpool_info(), key=lambda pool: pool["filepath"]):
    print(pool["internal_api"], pool["num_threads"])
if "torch" in sys.modules:
    print("torch", sys.modules["torch"].get_num_threads())
"""


@pytest.mark.parametrize(
    ("env", "num_cores", "number"),
    [
        ({}, 3, 3),
        ({"OMP_NUM_THREADS": "2"}, 3, 2),
        ({"OMP_NUM_THREADS": "2,1"}, 3, 2),
        ({"OMP_NUM_THREADS": "8"}, 3, 3),
        ({"OMP_NUM_THREADS": "8", "OPENBLAS_NUM_THREADS": "1"}, 3, 1),
        ({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "0"}, 3, 1),
        ({"OMP_NUM_THREADS": "many", "MKL_NUM_THREADS": "1"}, 3, 3),
    ],
)
def test_the_variable_that_counts(env, num_cores, number):
    pool = ThreadPool("numpy", ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), True, lambda number: None)
    assert pool.number(env, num_cores) == number


def test_what_is_no_library_is_left_out(tmp_path):
    maps = tmp_path / "maps"
    maps.write_text(
        "7f00-7f01 r-xp 00000000 00:01 1    /a b/site-packages/numpy.libs/libopenblas-1.so\n"
        "7f00-7f01 rw-p 00000000 00:00 0 \n7f00-7f01 r-xp 00000000 00:01 1    /usr/lib/libgomp.so.1 (deleted)\n"
    )
    assert [pool for pool in loaded_pools(maps) if pool.owner != "torch"] == []


class Slots:
    """Launches a script on cores, warm and cold, as on a CPU slot."""

    def __init__(self, folder, preload, server_env):
        self._folder, self._exits = folder, {}
        env = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
        self._env = env
        self.launcher = Launcher(
            lambda *_: None,
            lambda launch, exit_, moment: self._exits.update({launch: exit_}),
            preload=preload,
            log_path=folder / "server.log",
            environment=lambda: {**env, **server_env},
        )

    def says(self, wait_for, text, cores, env):
        """The output of the script in a warm and in a cold launch."""
        script = self._folder / "train.py"
        script.write_text("import os, sys\n" + textwrap.dedent(text) + SHOW)
        said = []
        for argv in ((str(script),), (sys.executable, str(script))):
            out, err = self._folder / "out", self._folder / "err"
            rank = RankSpec({**self._env, **env}, str(out), str(err), cores)
            launch = self.launcher.launch(LaunchSpec(argv, (rank,), len(argv) == 1, 1.0, str(self._folder)))
            wait_for(lambda launch=launch: launch in self._exits)
            assert self._exits[launch].exit_code == 0, err.read_text()
            said.append(out.read_text().splitlines())
            out.unlink()
        return said


@pytest.fixture
def make_slots(tmp_path):
    pytest.importorskip("threadpoolctl")
    made = []

    def make(preload, **server_env):
        made.append(Slots(tmp_path, preload, server_env))
        return made[-1]

    yield make
    for slots in made:
        slots.launcher.close()


@pytest.fixture(scope="module")
def numpy_slots(request, tmp_path_factory):
    """One server for all tests of a number of threads in its environment: it takes longer than they do."""
    pytest.importorskip("threadpoolctl")
    slots = Slots(tmp_path_factory.mktemp("slots"), ["numpy"], {"OMP_NUM_THREADS": request.param})
    slots.launcher.warm_up()
    yield slots
    slots.launcher.close()


#: A script, its cores, its variables, and the number of threads of a new process.
CASES = [
    ("import numpy", 2, {"OMP_NUM_THREADS": "2"}, 2),
    ("import numpy", 1, {"OMP_NUM_THREADS": "1"}, 1),
    ("import numpy", 1, {}, 1),
    ("import numpy", 2, {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "1"}, 1),
    ("os.environ['OMP_NUM_THREADS'] = '1'\nimport numpy", 2, {"OMP_NUM_THREADS": "2"}, 1),
    ("os.environ['OPENBLAS_NUM_THREADS'] = '1'\nfrom numpy import linalg", 2, {"OMP_NUM_THREADS": "2"}, 1),
    ("import numpy\nos.environ['OMP_NUM_THREADS'] = '1'\nimport numpy.linalg", 2, {"OMP_NUM_THREADS": "2"}, 2),
]
if sys.version_info >= (3, 11):  # before, import_module asks no spec of a module that is loaded
    CASES.append(("os.environ.update(OMP_NUM_THREADS='1')\n__import__('importlib').import_module('numpy')", 2, {}, 1))
#: Cases of the same kind as those beside them.
REPEATED = (CASES[2], CASES[3], CASES[5])


@needs_two_cores
@pytest.mark.parametrize(
    ("numpy_slots", "text", "cores", "env", "expected"),
    [
        # A server with the same number as the script may have it right by chance.
        pytest.param(number, *case, marks=pytest.mark.slow if number == str(case[-1]) or case in REPEATED else ())
        for number in ("1", "2")
        for case in CASES
    ],
    indirect=["numpy_slots"],
)
def test_numpy_has_as_many_threads_as_cold(numpy_slots, wait_for, text, cores, env, expected):
    warm, cold = numpy_slots.says(wait_for, text, CORES[:cores], env)
    assert warm == cold
    assert cold == [f"openblas {expected}"]


@pytest.mark.slow
@needs_two_cores
def test_every_library_has_as_many_threads_as_cold(make_slots, wait_for):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    modules = ["numpy", "scipy.linalg", "sklearn.cluster", "torch"]
    slots = make_slots(modules, OMP_NUM_THREADS="1")
    everything = f"import {', '.join(modules)}"
    for text in (
        everything,
        f"os.environ['OMP_NUM_THREADS'] = '1'\n{everything}",
        f"os.environ['MKL_NUM_THREADS'] = '1'\n{everything}",
        f"import numpy\nos.environ['OMP_NUM_THREADS'] = '1'\n{everything}",
        f"from torch import nn\nos.environ['OMP_NUM_THREADS'] = '1'\n{everything}",
        f"from sklearn.cluster import KMeans\nos.environ['OMP_NUM_THREADS'] = '1'\n{everything}",
        f"{everything}\nos.environ['OMP_NUM_THREADS'] = '1'\n{everything}",
    ):
        warm, cold = slots.says(wait_for, text, CORES, {"OMP_NUM_THREADS": "2"})
        assert warm == cold, text
        assert len(cold) >= 5
