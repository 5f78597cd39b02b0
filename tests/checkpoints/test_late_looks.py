"""A keeper that looks at any moment, seldom or often: what it takes is whole, and the end is known to be."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest

from syne_hypersched.checkpoints import CheckpointSpec, GenerationKeeper, GenerationStore
from syne_hypersched.checkpoints import _keeper as keeper_module

#: Does one step after the other.
SCRIPT = """
import glob, os, shutil, sys
for line in sys.stdin:
    exec(line)
    print(flush=True)
"""


def write(path, epoch):
    """The steps that write a file: the first half, the second half."""
    return [f"o = open('{path}', 'w'); o.write('{epoch}:'); o.flush()", f"o.write('{epoch}'); o.close()"]


def remove_others(pattern, path=""):
    return f"[os.unlink(each) for each in glob.glob('{pattern}') if each != '{path}']"


def in_place(folder, epoch):
    return write(f"{folder}/model", epoch)


def old_time(folder, epoch):
    return [*in_place(folder, epoch), f"os.utime('{folder}/model', (1e9, 1e9))"]


def atomic(folder, epoch):
    return [*write(f"{folder}/model.aside", epoch), f"os.replace('{folder}/model.aside', '{folder}/model')"]


def several(folder, epoch):
    return [step for name in ("model", "optimizer", "state") for step in write(f"{folder}/{name}", epoch)]


def new_file(folder, epoch):
    path = f"{folder}/model-{epoch}"
    return [*write(path, epoch), remove_others(f"{folder}/model-*", path)]


def two_files(folder, epoch):
    path = f"{folder}/state-{epoch}"
    return [*in_place(folder, epoch), *write(path, epoch), remove_others(f"{folder}/state-*", path)]


def old_one_first(folder, epoch):
    return [remove_others(f"{folder}/state-*"), *in_place(folder, epoch), *write(f"{folder}/state-{epoch}", epoch)]


def new_folder(folder, epoch):
    steps = [f"shutil.rmtree('{folder}/aside', ignore_errors=True); os.makedirs('{folder}/aside')"]
    steps += [*write(f"{folder}/aside/model", epoch), *write(f"{folder}/aside/state", epoch)]
    steps += [f"shutil.rmtree('{folder}/step-{epoch}', ignore_errors=True)"]
    steps += [f"os.rename('{folder}/aside', '{folder}/step-{epoch}')"]
    return [*steps, f"[shutil.rmtree(each) for each in glob.glob('{folder}/step-*') if each[-1] != '{epoch}']"]


def second_name(folder, epoch):
    path = f"{folder}/step-{epoch}.aside"
    steps = [f"os.link('{path}', '{folder}/new.aside')", f"os.replace('{folder}/new.aside', '{folder}/model')"]
    return [*write(path, epoch), *steps, f"os.unlink('{path}')"]


def with_lock(folder, epoch):
    path = f"{folder}/lock.aside"
    return [*write(path, epoch), *in_place(folder, epoch), f"os.unlink('{path}')"]


def in_turn(folder, epoch):
    path = f"{folder}/model-{'ab'[epoch % 2]}"
    return [*write(path, epoch), *write(f"{folder}/newest", epoch)]


#: Ways to save, and the files of one checkpoint, numbers left out.
WRITERS = {
    in_place: ["model"],
    old_time: ["model"],
    atomic: ["model"],
    several: ["model", "optimizer", "state"],
    new_file: ["model"],
    two_files: ["model", "state"],
    old_one_first: ["model", "state"],
    new_folder: ["model", "state"],
    second_name: ["model"],
    with_lock: ["model"],
    in_turn: ["model", "newest"],
}
#: What a script does in each epoch: it saves, and reports (``|``).
ORDERS = ["save |", "| save", "save | save"]


def newest(folder):
    """Names of the files of the newest epoch in a folder. A torn file is of none."""
    files = [path for path in folder.rglob("*") if path.is_file() and "aside" not in str(path.relative_to(folder))]
    halves = {path: path.read_text().split(":") for path in files}
    epoch = max((first for first, _ in halves.values()), default="")
    return sorted(path.name.partition("-")[0] for path, both in halves.items() if both == [epoch, epoch])


class Run:
    """A script that saves and reports step by step, and a keeper that looks after some of the steps.

    It gets SIGTERM at its end, or in the middle of its last save, which it finishes before it dies of it.
    """

    def __init__(self, root, writer, order, seed, looks, drains_in_save=False):
        generator = random.Random(seed)
        folder, log = root / "0" / "checkpoints", root / "0" / "std.out"
        folder.parent.mkdir(parents=True)
        log.touch()
        self.store = GenerationStore(folder)
        spec = CheckpointSpec(str(folder), str(log), launch=0, keep=100, time_attr="epoch", metric="loss")
        keeper = GenerationKeeper(spec, lambda _: None)
        keeper.prepare()
        script = subprocess.Popen(
            [sys.executable, "-IS", "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        keeper._observer.pids = (script.pid,)
        steps = [f"os.makedirs('{folder}', exist_ok=True)"]
        for epoch in range(1, generator.randint(4, 7)):
            report = f"[tune-metric]: {json.dumps({'epoch': epoch, 'loss': 1 / epoch})}\n"
            for what in order.split():
                steps += [f"open('{log}', 'a').write({report!r})"] if what == "|" else writer(folder, epoch)
        num_before = len(steps) - len(writer(folder, epoch))
        for index, step in enumerate(steps):
            script.stdin.write(f"{step}\n")
            script.stdin.flush()
            assert script.stdout.readline() == "\n"
            if drains_in_save and index >= num_before and keeper._observer.open_files():
                keeper.drain()
                drains_in_save = False
            if index == 0 or generator.random() < looks:
                keeper._act()
        if not keeper._matcher._drained:
            keeper.drain()
        script.terminate()
        script.communicate()
        self.ending = keeper.finish([script.returncode], handled={0})
        keeper.close()


#: Where a script saves how often, and when the keeper looks.
SEEDS = pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])


@SEEDS
@pytest.mark.parametrize(
    ("looks", "order"),
    [
        pytest.param(looks, order, marks=() if looks == 0.3 or order == "save | save" else pytest.mark.slow)
        for looks in (0.3, 1.0)
        for order in ORDERS
    ],
)
@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
def test_what_is_taken_is_whole(tmp_path, monkeypatch, writer, order, looks, seed):
    monkeypatch.setattr(keeper_module, "QUIET_S", 600.0)  # nothing depends on how fast this machine is
    run = Run(tmp_path, writer, order, seed, looks)
    # Names that are used in turn must be seen a few times until that is known.
    assert run.ending.is_whole or (writer is in_turn and looks < 0.5)
    for number in run.store.numbers():
        assert newest(run.store.files(number)) == WRITERS[writer]
    assert run.ending.num_taken > 0 or looks < 1


@SEEDS
@pytest.mark.parametrize("looks", [0.0, 1.0])
@pytest.mark.parametrize("writer", [new_file, two_files, new_folder, second_name, with_lock], ids=lambda f: f.__name__)
def test_a_save_that_is_finished_after_sigterm_is_gone_on_from(tmp_path, monkeypatch, writer, looks, seed):
    monkeypatch.setattr(keeper_module, "QUIET_S", 600.0)
    run = Run(tmp_path, writer, "| save", seed, looks, drains_in_save=True)
    left = run.store.notes().left
    # The script has removed or moved files after it had written, so that it was not cut off.
    assert left is not None
    assert newest(run.store.checkpoints) == WRITERS[writer]


def test_a_file_that_may_have_been_closed_by_a_death_is_not_gone_on_from(tmp_path, monkeypatch):
    monkeypatch.setattr(keeper_module, "QUIET_S", 600.0)
    assert Run(tmp_path, in_place, "| save", 0, 1.0, drains_in_save=True).store.notes().left is None


@pytest.mark.parametrize("num_missed", [1, 2, 3])
def test_the_last_epochs_have_their_checkpoint_although_nobody_looked_meanwhile(in_process, wait_for, num_missed):
    """On a busy machine, the thread does not run for some epochs, and the script ends."""
    script = in_process()
    for epoch in range(1, 7):
        if epoch == 7 - num_missed:
            script.keeper._lock.acquire()
        script.do("; ".join(atomic(script.folder, epoch)))
        script.report(epoch, 1.0 / epoch)
        if epoch < 7 - num_missed:
            wait_for(lambda epoch=epoch: script.keeper._matcher.num_reports == epoch and len(script.generations()))
    script.keeper._lock.release()
    script.end()
    matched = GenerationStore(script.folder).notes().matched[-1]
    assert (matched.report, matched.match) == (6, "exact")
    assert (GenerationStore(script.folder).files(matched.generation) / "model").read_text() == "6:6"
