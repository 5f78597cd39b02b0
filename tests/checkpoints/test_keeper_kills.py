"""The next launch of a script that died in the middle of a save begins with a whole checkpoint."""

from __future__ import annotations

import shutil

import pytest

from syne_hypersched.checkpoints import (
    Notes,
)
from syne_hypersched.checkpoints import _keeper as keeper_module

pytestmark = pytest.mark.usefixtures("no_process_left")


def dying(how, path="model"):
    """A script that dies while it writes its third checkpoint."""
    return f"""
(folder / "shards").mkdir(parents=True)
for epoch in (1, 2):
    in_place(epoch)
    report(epoch, 1 / epoch)
    while not list(folder.parent.glob(f".checkpoints-generations/{{epoch:06d}}")):
        time.sleep(0.005)
half = halves(folder / {path!r}, 3)
next(half)
time.sleep(0.05)
{how}
"""


@pytest.mark.parametrize("path", ["model", "shards/0"])
def test_who_is_killed_in_the_middle_of_a_write_is_followed_by_a_launch_from_a_whole_checkpoint(launches, path):
    ending = launches.run(dying("os.kill(os.getpid(), signal.SIGKILL)", path))
    assert not ending.is_whole
    ending = launches.run("assert saved() == 2\nin_place(3)\nreport(3, 0.1)")
    beginning = launches.beginning()
    assert (beginning.generation, beginning.go_back_from) == (2, 2)
    assert beginning.restored == "the checkpoint folder is not known to be whole"
    assert ending.is_whole, launches.errors()
    assert launches.epochs()[:2] == [1, 2]
    assert not list(launches.folder.glob("shards/*"))


def test_what_a_script_leaves_that_fails_is_tried_once(launches):
    """It may have failed in the middle of a write, or long after it."""
    assert not launches.run(dying("os._exit(1)")).is_whole
    assert launches.epochs() == [1, 2]
    ending = launches.run("saved()")
    beginning = launches.beginning()
    assert (beginning.generation, beginning.restored) == (None, "")
    assert not ending.has_changed
    launches.run("assert saved() == 2", go_back_from=beginning.go_back_from)
    assert launches.beginning().generation == 2, launches.errors()


def test_what_nobody_knows_to_be_whole_is_tried_once(launches):
    """The supervisor was killed, too, so that nothing is known of the folder."""
    launches.run("in_place(1)\nreport(1, 1.0)")
    shutil.rmtree(launches.store.folder)
    with open(launches.folder / "model", "r+") as file:
        file.truncate(100)
    launches.run("saved()")
    beginning = launches.beginning()
    assert (beginning.generation, beginning.restored) == (None, "")
    assert launches.store.numbers() == []  # it is not taken for whole
    launches.run("print('anew', saved())", go_back_from=beginning.go_back_from)
    assert "may be torn" in launches.beginning().restored
    launches.seen("anew 0")


@pytest.mark.parametrize("goes_on", [True, False])
def test_what_a_script_goes_on_from_is_whole(launches, goes_on):
    """It is kept before the script writes again, since it may be killed then."""
    launches.run("in_place(2)\nreport(2, 1.0)")
    shutil.rmtree(launches.store.folder)
    launches.store.write_notes(Notes(evidence={"highest": 2.0}))  # all that is known
    launches.run(
        f"""
report({3 if goes_on else 1}, 1.0)
while {goes_on} and not list(folder.parent.glob(".checkpoints-generations/0*/files")):
    time.sleep(0.005)
half = halves(folder / "model", 3)
next(half)
os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    assert launches.epochs() == ([2] if goes_on else [])
    launches.run("print('from', saved(), flush=True)")
    launches.seen("from 2" if goes_on else "from 0")


def test_who_dies_in_its_first_write_begins_anew(launches):
    assert not launches.run(
        "half = halves(folder / 'model', 1)\nnext(half)\nos.kill(os.getpid(), signal.SIGKILL)"
    ).is_whole
    launches.run("print(folder.exists(), flush=True)")
    launches.seen("False")
    assert "its only checkpoint was being written when the process was killed" in launches.beginning().restored


def test_who_dies_when_it_has_emptied_its_only_checkpoint_begins_anew(launches):
    script = """
in_place(1)
time.sleep(0.3)
file = open(folder / "model", "w")
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert not launches.run(script, min_free_bytes=2**60).is_whole  # there is no room for a generation
    assert launches.store.numbers() == []
    launches.run("print('anew', saved(), flush=True)")
    launches.seen("anew 0")
    assert "its only checkpoint was being written when the process was killed" in launches.beginning().restored


def test_a_folder_that_was_only_made_is_half_a_checkpoint(launches):
    """It is left out, since a script that goes on from the newest folder would find nothing in it."""
    launches.folder.mkdir()
    launches.run(
        """
for epoch in (1, 2):
    put(folder / f"step-{epoch}" / "model" / "0", epoch)
    report(epoch, 1 / epoch)
    while not list(folder.parent.glob(f".checkpoints-generations/0*/files/step-{epoch}")):
        time.sleep(0.005)
(folder / "step-3" / "model").mkdir(parents=True)
time.sleep(0.05)
os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    launches.run("print('found', sorted(path.name for path in folder.iterdir()), flush=True)")
    launches.seen("found ['step-1', 'step-2']")


def test_who_dies_between_the_files_of_a_checkpoint_goes_on_from_the_one_before(launches):
    """Each file is whole, but they are of two epochs."""
    launches.run(
        """
for epoch in (1, 2):
    several(epoch)
    report(epoch, 1 / epoch)
    while not list(folder.parent.glob(f".checkpoints-generations/{epoch:06d}")):
        time.sleep(0.005)
put(folder / "model", 3)
time.sleep(0.1)
os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    launches.run("print('whole', {path.read_text().partition(':')[0] for path in folder.iterdir()}, flush=True)")
    launches.seen("whole {'2'}")


@pytest.mark.parametrize("pause_s", [0.0, 0.4])
def test_who_removes_its_checkpoint_and_dies_before_the_next_one_is_in_place_goes_on_from_the_one_before(
    launches, pause_s
):
    """All files are whole, but under names that the script does not look for."""
    launches.run(
        f"""
for epoch in (1, 2):
    renamed(epoch)
    report(epoch, 1 / epoch)
    while not list(folder.parent.glob(f".checkpoints-generations/??????/files/step-{{epoch}}")):
        time.sleep(0.005)
for name in ("model", "shards/optimizer"):
    put(folder / "aside" / name, 3)
shutil.rmtree(folder / "step-2")
time.sleep({pause_s})
os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    assert launches.epochs()[-1] == 2
    launches.run("print('found', (folder / 'step-2' / 'model').exists(), (folder / 'aside').exists(), flush=True)")
    launches.seen("found True False")


@pytest.mark.parametrize("num_done", range(1, 8))
def test_a_later_launch_that_removes_its_checkpoint_and_dies_before_it_has_saved_the_next_one_has_lost_nothing(
    launches, num_done
):
    """Before its first save nobody has seen it write what it removes."""
    script = """
for epoch in (1, 2):
    shutil.rmtree(folder / f"step-{epoch - 1}", ignore_errors=True)
    for name in ("model", "shards/optimizer"):
        put(folder / f"step-{epoch}" / name, epoch)
    report(epoch, 1 / epoch)
    while taken() < epoch:
        time.sleep(0.005)
"""
    launches.run(script)
    steps = [
        "(folder / 'step-2/model').unlink()",
        "(folder / 'step-2/shards/optimizer').unlink()",
        "(folder / 'step-2/shards').rmdir()",
        "(folder / 'step-2').rmdir()",
        "(folder / 'step-3').mkdir()",
        "put(folder / 'step-3/model', 3)",
        "time.sleep(0.1)",
    ]
    dies = "os.kill(os.getpid(), signal.SIGKILL)"
    assert not launches.run("\n".join([*steps[:num_done], dies])).is_whole
    launches.run("print('found', sorted(path.name for path in folder.rglob('*')), flush=True)")
    launches.seen("found ['model', 'optimizer', 'shards', 'step-2']")
    assert launches.epochs()[-1] == 2


def test_who_dies_between_two_writes_goes_on_from_the_last_one(launches):
    launches.folder.mkdir()  # nobody knows whether what was there before it was watched is whole
    body = "for epoch in (1, 2):\n    atomic(epoch)\n    report(epoch, 1 / epoch)\nos.kill(os.getpid(), signal.SIGKILL)"
    launches.run(body)
    assert launches.run("assert saved() == 2\nreport(3, 0.1)").is_whole, launches.errors()
    assert not launches.beginning().restored


def test_one_of_two_ranks_that_dies_while_it_writes_leaves_a_torn_checkpoint(launches):
    ending = launches.run(
        """
if RANK == 1:
    in_place(1)
    while not list(folder.parent.glob(".checkpoints-generations/000001")):
        time.sleep(0.005)
    half = halves(folder / "model", 2)
    next(half)
    time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(600)
""",
        num_ranks=2,
    )
    assert not ending.is_whole
    launches.run("assert saved() == 1")
    assert launches.beginning().generation == 1, launches.errors()


@pytest.mark.parametrize(("exit_code", "reports", "is_whole"), [(1, False, False), (1, True, True), (0, False, True)])
def test_a_file_that_an_error_has_closed_may_be_torn(in_process, monkeypatch, wait_for, exit_code, reports, is_whole):
    monkeypatch.setattr(keeper_module, "_ASIDE_S", 600.0)  # for so long a process may take to end
    trial = in_process()
    for epoch in (1, 2):
        trial.do(f"with open({str(trial.folder / 'model')!r}, 'w') as file: file.write({'x' * (100 // epoch)!r})")
        if epoch == 1 or reports:
            trial.report(epoch, 1 / epoch)
            wait_for(lambda epoch=epoch: trial.generations()[-1:] == [epoch])
    trial.script.stdin.write(f"os._exit({exit_code})\n")
    trial.script.stdin.flush()
    trial.script.wait()
    assert trial.end().is_whole is is_whole
    if exit_code:  # else it may have ended before one was taken
        assert trial.generations() == ([1, 2] if is_whole else [1])
