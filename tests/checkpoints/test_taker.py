"""Generations that are taken while a real process goes on to write, to move and to remove what is being copied."""

from __future__ import annotations

import fcntl
import os

import pytest

from syne_hypersched.checkpoints import CheckpointSpec, GenerationKeeper, GenerationStore
from syne_hypersched.checkpoints import _files as files_module
from syne_hypersched.checkpoints import _leases as leases_module
from syne_hypersched.checkpoints._files import read_tree
from syne_hypersched.checkpoints._leases import GivenUpError, Patience
from tests.checkpoints.obedient import Child

pytestmark = pytest.mark.usefixtures("no_process_left")


class Trial:
    """A trial whose script is another process, and a taker that does nothing by itself."""

    def __init__(self, folder, wait_for, monkeypatch):
        self.folder = folder / "0" / "checkpoints"
        self.folder.mkdir(parents=True)
        self.store = GenerationStore(self.folder)
        spec = CheckpointSpec(str(self.folder), str(folder / "0" / "std.out"), launch=0, time_attr="epoch")
        self.keeper = GenerationKeeper(spec, lambda _: None)
        self.keeper.prepare()
        self.taker, self.observer = self.keeper._taker, self.keeper._observer
        self.child = Child()
        self.observer.pids = (self.child.pid,)
        self._wait_for, self._monkeypatch = wait_for, monkeypatch

    def save(self, text, name="model"):
        self.child.do(f"open({str(self.folder / name)!r}, 'w').write({text!r})")
        self.observer.look()

    def before_leases(self, action):
        """Has something happen just before the leases are asked for."""
        obtain = self.taker._obtain
        self._monkeypatch.setattr(self.taker, "_obtain", lambda *arguments: (action(), obtain(*arguments))[1])

    def after_leases(self, action):
        """Has something happen as soon as it is known what the copy will be of."""
        obtain = self.taker._obtain
        self._monkeypatch.setattr(self.taker, "_obtain", lambda *arguments: (obtain(*arguments), action())[0])

    def begin(self, text, name="model"):
        """The script begins to save, and waits for a lease if there is one."""
        path = str(self.folder / name)
        self.child.begin(f"open({path!r}, 'w').write({text!r})")
        fds = [fd for fd in map(int, os.listdir("/proc/self/fd")) if names(fd, path)]
        self._wait_for(lambda: not fds or fcntl.fcntl(fds[-1], fcntl.F_GETLEASE) != fcntl.F_RDLCK)

    def kept(self):
        """What is in the generations."""
        files = (self.store.files(number) for number in self.store.numbers())
        return [
            {path: (each / path).read_text() for path, of in read_tree(each).items() if of.kind == "file"}
            for each in files
        ]

    def close(self):
        self.child.close()
        self.keeper.finish([0])
        self.keeper.close()


def contents(folder):
    return {path: (folder / path).read_text() for path, state in read_tree(folder).items() if state.kind == "file"}


def names(fd, path):
    try:
        return os.readlink(f"/proc/self/fd/{fd}") == path
    except OSError:
        return False


@pytest.fixture
def trial(tmp_path, wait_for, monkeypatch):
    trial = Trial(tmp_path, wait_for, monkeypatch)
    yield trial
    trial.close()


def test_a_copy_is_finished_although_the_script_writes_again(trial):
    trial.save("epoch 1")
    trial.after_leases(lambda: trial.begin("epoch 2"))
    assert trial.taker.take()
    trial.child.end()
    assert trial.kept() == [{"model": "epoch 1"}]
    assert not trial.observer.is_dirty
    assert (trial.folder / "model").read_text() == "epoch 2"
    trial.observer.look()
    assert trial.observer.is_dirty  # what was written since is another state
    assert trial.taker.take()
    assert trial.kept()[-1] == {"model": "epoch 2"}


@pytest.mark.parametrize("has_reported", [False, True])
def test_a_save_that_has_waited_was_begun_before_what_is_reported_from_then_on(trial, has_reported):
    """A thread saves: it waits in ``open``, and then the script reports before the kernel tells of the save."""
    trial.save("epoch 1")

    def save_again():
        if has_reported:
            with open(trial.folder.parent / "std.out", "a") as log:
                log.write('[tune-metric]: {"epoch": 1, "loss": 1.0}\n')
        trial.begin("epoch 2")

    trial.after_leases(save_again)
    assert trial.taker.take()
    assert trial.observer._begun == {"model": int(has_reported)}
    assert trial.observer.has_reported == has_reported
    trial.child.end()
    trial.observer.look()
    assert trial.observer._begun == {}


def test_a_file_whose_time_is_set_while_it_is_copied_is_copied_again_at_once(trial, monkeypatch):
    """As by ``shutil.copy2``, when it has closed the copy."""
    trial.save("epoch 1")
    trial.after_leases(lambda: os.utime(trial.folder / "model", (1.0, 1.0)))
    assert not trial.taker.take()
    assert (trial.taker.error, trial.taker.retry_at, trial.kept()) == ("", 0.0, [])
    monkeypatch.undo()
    assert trial.taker.take()
    assert trial.kept() == [{"model": "epoch 1"}]


def test_without_leases_a_copy_is_thrown_away_if_the_script_writes_again(trial, monkeypatch):
    monkeypatch.setattr(leases_module, "_is_on_network", lambda _: True)
    trial.save("epoch 1")
    trial.after_leases(lambda: trial.child.do(f"file = open({str(trial.folder / 'model')!r}, 'w')"))
    assert not trial.taker.take()
    assert trial.kept() == []
    assert trial.taker.error == ""
    trial.child.do("file.write('epoch 2'); file.close()")
    monkeypatch.undo()
    trial.observer.look()
    assert trial.taker.take()
    assert trial.kept() == [{"model": "epoch 2"}]


@pytest.mark.parametrize(
    "action", ["os.rename({folder!r} + '/step-1', {folder!r} + '/gone')", "os.unlink({folder!r} + '/step-1/model')"]
)
def test_a_copy_is_finished_although_the_script_removes_what_is_copied(trial, action):
    (trial.folder / "step-1").mkdir()
    trial.save("epoch 1", "step-1/model")
    trial.save("of epoch 1", "step-1/optimizer")
    trial.after_leases(lambda: trial.child.do(action.format(folder=str(trial.folder))))
    assert trial.taker.take()
    assert trial.kept() == [{"step-1/model": "epoch 1", "step-1/optimizer": "of epoch 1"}]


@pytest.mark.parametrize("text", ["epoch 2", "epoch two"])
def test_what_was_written_before_it_could_be_held_is_looked_at_again(trial, text):
    trial.save("epoch 1")
    trial.before_leases(lambda: trial.child.do(f"open({str(trial.folder / 'model')!r}, 'w').write({text!r})"))
    assert not trial.taker.take()
    assert trial.kept() == []
    assert trial.taker.error == ""
    assert trial.taker.retry_at == 0.0


def test_what_is_open_for_writing_is_not_copied(trial):
    trial.save("epoch 1")
    trial.child.do(f"file = open({str(trial.folder / 'model')!r}, 'r+')")
    assert not trial.taker.take()
    trial.child.do("file.close()")
    assert trial.kept() == []


def test_a_script_does_not_wait_for_longer_than_it_may(trial, monkeypatch):
    monkeypatch.setattr(files_module, "_PIECE_BYTES", 2)
    monkeypatch.setattr(Patience, "FIRST_S", -1.0)
    trial.save("epoch 1")
    trial.after_leases(lambda: trial.begin("epoch 2"))
    trial.taker._patience = Patience(1e9)
    assert not trial.taker.take()
    trial.child.end()
    assert trial.kept() == []
    assert trial.taker.error == ""
    assert [path.name for path in trial.store.folder.iterdir()] == []  # nothing of the copy is left


def test_a_script_waits_less_when_the_launch_is_to_end(trial):
    trial.taker._patience = Patience(-1e9)
    assert trial.taker._most_wait_s() == Patience.MOST_S
    trial.keeper.is_saving()
    assert trial.taker._most_wait_s() == Patience.FIRST_S


@pytest.mark.parametrize(
    ("number", "is_ending", "waits"), [("SIGALRM", False, False), ("SIGTERM", False, True), ("SIGTERM", True, False)]
)
def test_a_script_whose_open_a_signal_would_interrupt_is_not_kept_waiting(trial, number, is_ending, waits):
    trial.child.do(f"import signal; signal.signal(signal.{number}, lambda *_: None)")
    if is_ending:
        trial.keeper.is_saving()
    assert (trial.taker._most_wait_s() > 0) == waits


def test_what_may_not_be_whole_is_not_copied_while_it_is_written(trial):
    trial.save("epoch 1")
    trial.child.do(f"file = open({str(trial.folder / 'model')!r}, 'r+')")
    with pytest.raises(GivenUpError):
        trial.taker.hold(read_tree(trial.folder))
    trial.child.do("file.close()")
    trial.observer.look()
    trial.after_leases(lambda: trial.begin("epoch 2"))
    trial.taker.hold(read_tree(trial.folder))
    trial.child.end()
    assert (trial.store.folder / ".held/files/model").read_text() == "epoch 1"


def test_a_file_that_has_again_the_time_of_the_newest_generation_is_another_checkpoint(trial):
    """As ``cp -p`` writes it. A launch may begin with a folder that is not known to be of a generation."""
    for text in "123":
        trial.save(text)
        os.utime(trial.folder / "model", (5, 5))
        trial.taker.take()
        trial.observer.taken = {}
        assert trial.kept()[-1] == {"model": text}
