"""Snapshots: the scheduler is restored exactly, a torn snapshot is noticed, and loading one executes nothing."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import os
import pickle
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syne_tune.config_space import choice, loguniform, randint, uniform

import syne_hypersched
from syne_hypersched import ASHA, PASHA, HyperSched
from syne_hypersched._disk import Disk
from syne_hypersched.recovery._snapshot import (
    Snapshot,
    UnusableSnapshotError,
    dump_snapshot,
    read_snapshot,
    write_snapshot,
)
from syne_hypersched.testing.crashing_disk import Crash, CrashingDisk
from syne_hypersched.testing.scheduler_contract import TuningLoop
from tests.thoroughness import examples

SPACE = {"x": uniform(0, 1), "n": randint(0, 9), "kind": choice(["a", "b"]), "rate": loguniform(1e-6, 1)}
SCHEDULERS = {
    "asha": lambda: ASHA(SPACE, "loss", "epoch", 27, type="promotion", brackets=2, random_seed=0),
    "evolution": lambda: ASHA(SPACE, "loss", "epoch", 27, searcher="regularized_evolution", random_seed=0),
    "pasha": lambda: PASHA(SPACE, "loss", "epoch", 27, random_seed=0),
    "hypersched": lambda: HyperSched(
        SPACE, "loss", "epoch", 27, num_devices=5, deadline_s=200, random_seed=0, strategy="published"
    ),
    "adaptive": lambda: HyperSched(
        SPACE, "loss", "epoch", 27, num_devices=5, deadline_s=200, strategy="adaptive", random_seed=0
    ),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_scheduler_goes_on_as_if_nothing_had_happened(name, tmp_path):
    scheduler, loop = SCHEDULERS[name](), TuningLoop("loss", "epoch", 5, 27)
    loop.run(scheduler, 40)
    write_snapshot(str(tmp_path), dump_snapshot(Snapshot(7, scheduler)), Disk())
    snapshot = read_snapshot(str(tmp_path), Disk())
    assert snapshot.num_entries == 7
    its_loop = copy.deepcopy(loop)
    assert its_loop.run(snapshot.scheduler, 60) == loop.run(scheduler, 60)
    assert snapshot.scheduler.metadata() == scheduler.metadata()


def test_models_that_are_fitted_again_are_left_out(tmp_path):
    pytest.importorskip("statsmodels")
    scheduler = ASHA(SPACE, "loss", "epoch", 27, searcher="kde", random_seed=0)
    loop = TuningLoop("loss", "epoch", 5, 27)

    def model_of(scheduler):
        # Syne Tune makes the searcher when it is asked first.
        return getattr(scheduler._searcher.searcher.searcher, "good_kde", None)

    while model_of(scheduler) is None:
        loop.run(scheduler, 1)
    write_snapshot(str(tmp_path), dump_snapshot(Snapshot(7, scheduler)), Disk())
    again = read_snapshot(str(tmp_path), Disk()).scheduler
    assert model_of(again) is None
    assert copy.deepcopy(loop).run(again, 8) == loop.run(scheduler, 8)


@pytest.mark.slow
def test_ten_thousand_trials_are_less_than_a_megabyte():
    scheduler, loop = SCHEDULERS["asha"](), TuningLoop("loss", "epoch", 500, 27)
    while len(loop.trials) < 10_000:
        loop.run(scheduler, 1)
    assert len(dump_snapshot(Snapshot(0, scheduler))) < 1_000_000


def test_there_may_be_none(tmp_path):
    assert read_snapshot(str(tmp_path), Disk()) is None


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 2**32), of_the_machine=st.booleans())
def test_a_crash_leaves_the_old_snapshot_or_the_new_one(seed, of_the_machine):
    disk = CrashingDisk(random.Random(seed))
    disk.create_folder("journal", durably=True)
    first, second = (dump_snapshot(Snapshot(n, {"state": os.urandom(2000)})) for n in (1, 2))
    write_snapshot("journal", first, disk)
    disk.crash_after = random.Random(seed).randrange(12)
    done = False
    try:
        write_snapshot("journal", second, disk)
        done = True
    except Crash:
        pass
    disk.crash(of_the_machine)
    number = read_snapshot("journal", disk).num_entries
    assert number == 2 if done else number in (1, 2)


@given(cut=st.integers(1, 200), flip=st.booleans())
def test_a_torn_snapshot_is_noticed(tmp_path_factory, cut, flip):
    folder = tmp_path_factory.mktemp("journal")
    content = bytearray(dump_snapshot(Snapshot(1, {"state": list(range(100))})))
    if flip:
        content[-cut] ^= 1
    else:
        del content[-cut:]
    (folder / "snapshot").write_bytes(content)
    with pytest.raises(UnusableSnapshotError):
        read_snapshot(str(folder), Disk())


@pytest.mark.parametrize("change", [{"format": 2}, {"version": "0.0.1"}])
def test_another_version_is_refused_with_both_named(tmp_path, change):
    line, content = dump_snapshot(Snapshot(1, {})).split(b"\n", 1)
    header = json.loads(line) | change
    (tmp_path / "snapshot").write_bytes(json.dumps(header).encode() + b"\n" + content)
    with pytest.raises(UnusableSnapshotError, match=f"version {syne_hypersched.__version__}, but says .*"):
        read_snapshot(str(tmp_path), Disk())


class _Calls:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "harmful",
    [
        lambda path: _Calls(os.system, f"touch {path}"),
        lambda path: _Calls(eval, f"open({str(path)!r}, 'w')"),
        lambda path: _Calls(functools.partial(os.mkdir, str(path))),
        lambda path: _Calls(pickle.loads, pickle.dumps(_Calls(os.mkdir, str(path)))),
        lambda path: _Calls(getattr, path, "touch"),
    ],
)
def test_nothing_is_executed(tmp_path, harmful):
    canary = tmp_path / "canary"
    content = zlib.compress(pickle.dumps(harmful(canary)))
    header = json.loads(dump_snapshot(Snapshot(1, {})).split(b"\n", 1)[0])
    header["sha256"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "snapshot").write_bytes(json.dumps(header).encode() + b"\n" + content)
    with pytest.raises(UnusableSnapshotError, match="not among the classes that may be loaded"):
        read_snapshot(str(tmp_path), Disk())
    assert not canary.exists()


@pytest.mark.parametrize("name", ["os.system", "Disk", "logger.warning", "importlib.import_module"])
def test_what_a_module_has_imported_is_not_loaded_from_it(tmp_path, name):
    # As a harmful pickle would name it, by a module that is allowed.
    module = b"syne_hypersched.schedulers.hypersched._hypersched"
    content = zlib.compress(
        b"\x80\x04\x8c" + bytes([len(module)]) + module + b"\x8c" + bytes([len(name)]) + name.encode() + b"\x93."
    )
    header = json.loads(dump_snapshot(Snapshot(1, {})).split(b"\n", 1)[0])
    header["sha256"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "snapshot").write_bytes(json.dumps(header).encode() + b"\n" + content)
    with pytest.raises(UnusableSnapshotError, match="not among the classes that may be loaded"):
        read_snapshot(str(tmp_path), Disk())
