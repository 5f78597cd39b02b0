"""Generations of real scripts: each holds one whole epoch, and that of the best report is the one that it says."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from syne_hypersched.checkpoints import (
    Beginning,
    CheckpointSpec,
    GenerationKeeper,
    GenerationStore,
    Matched,
    Notes,
    Order,
)
from syne_hypersched.checkpoints import _drain as drain_module
from syne_hypersched.checkpoints import _keeper as keeper_module
from syne_hypersched.checkpoints import _matching as matching_module
from syne_hypersched.checkpoints import _tried as tried_module
from syne_hypersched.checkpoints._states import State
from syne_hypersched.launch import Launcher, LaunchSpec, RankSpec

pytestmark = pytest.mark.usefixtures("no_process_left")

#: What every script begins with: it trains, reports, and saves in one of many ways.
HEAD = """
import json, os, shutil, signal, sys, time
from pathlib import Path

folder, RANK = Path(os.environ["FOLDER"]), int(os.environ["RANK"])

def report(epoch, loss):
    print("[tune-metric]: " + json.dumps({"epoch": epoch, "loss": loss}), flush=True)

def sealed(epoch):
    return f"{epoch}:" + "x" * 50_000 + f":{epoch}"

def train():
    time.sleep(0.04)

def put(path, epoch):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(sealed(epoch))

def halves(path, epoch):
    \"\"\"Writes one half of a file, and the other one when it is asked for it.\"\"\"
    text = sealed(epoch)
    folder.mkdir(exist_ok=True)
    with open(path, "w") as file:
        file.write(text[:20_000])
        file.flush()
        yield
        file.write(text[20_000:])

def atomic(epoch):
    put(folder / "model.new", epoch)
    os.replace(folder / "model.new", folder / "model")

def in_place(epoch):
    put(folder / "model", epoch)

def new(epoch):
    put(folder / f"model-{epoch}", epoch)
    (folder / f"model-{epoch - 1}").unlink(missing_ok=True)

def several(epoch):
    for name in ("model", "optimizer", "state"):
        put(folder / name, epoch)

def renamed(epoch):
    for name in ("model", "shards/optimizer"):
        put(folder / "aside" / name, epoch)
    os.rename(folder / "aside", folder / f"step-{epoch}")
    if epoch > 1:
        shutil.rmtree(folder / f"step-{epoch - 1}", ignore_errors=True)

def saved():
    \"\"\"The epoch of the checkpoint.\"\"\"
    try:
        return int((folder / "model").read_text().rpartition(":")[2])
    except FileNotFoundError:
        return 0

def matched():
    \"\"\"The number of the last report whose checkpoint is known.\"\"\"
    try:
        return json.loads((folder.parent / ".checkpoints-generations/notes.json").read_text())["matched"][-1]["report"]
    except (FileNotFoundError, IndexError):
        return 0

def taken():
    \"\"\"How many generations have been taken.\"\"\"
    names = [path.name for path in (folder.parent / ".checkpoints-generations").glob("*")]
    return max((int(name) for name in names if name.isdigit()), default=0)

LOSSES = [0.0, 5.0, 4.0, 1.0, 3.0, 2.0, 4.0]
"""


class Server:
    """A launcher for the trials of all tests here, one after the other."""

    def __init__(self, folder):
        self.log = folder / "server.log"
        self.exits, self.news = {}, []
        self.launcher = Launcher(
            lambda *_: None, lambda launch, exit_, _: self.exits.update({launch: exit_}),
            on_checkpoint=lambda _, news: self.news.append(news), log_path=self.log,
        )  # fmt: skip
        self.launcher.warm_up()


class Launches:
    """Launches of one trial, one after the other."""

    def __init__(self, folder, wait_for, server):
        self.root = folder
        self.wait_for = wait_for
        self.server_log, self.launcher, self.exits, self.news = server.log, server.launcher, server.exits, server.news
        self.begun = []
        self.folder = folder / "0" / "checkpoints"
        self.folder.parent.mkdir()
        self.store = GenerationStore(self.folder)
        self.log = folder / "0" / "std.out"
        self.spec = CheckpointSpec(
            str(self.folder), str(self.log), launch=-1, keep=100, time_attr="epoch", metric="loss"
        )

    def start(self, script, num_ranks=1, **fields):
        """Starts the next launch, which knows what the tuner would have learnt from those before."""
        (self.root / "train.py").write_text(HEAD + script)
        self.news.clear()
        text = self.log.read_text() if self.log.exists() else ""
        self.spec = dataclasses.replace(
            self.spec, launch=self.spec.launch + 1, num_reports=text.count("tune-metric"), log_end=len(text), **fields
        )
        ranks = tuple(
            RankSpec(
                {**os.environ, "RANK": str(rank), "FOLDER": str(self.folder)},
                str(self.log if rank == 0 else self.root / f"out{rank}"),
                str(self.root / f"err{rank}"),
            )
            for rank in range(num_ranks)
        )
        argv = (str(self.root / "train.py"),)
        self.begun.append(self.launcher.launch(LaunchSpec(argv, ranks, True, 30.0, str(self.root), self.spec)))
        return self.begun[-1]

    def end(self, launch):
        """Waits for the end of a launch, and says what has become of its checkpoints."""
        self.wait_for(lambda: launch in self.exits)
        log = self.server_log.read_text() if self.server_log.exists() else ""
        assert self.exits[launch].checkpoints is not None, (self.exits[launch], log)
        return self.exits[launch].checkpoints

    def close(self):
        """Ends what the test has left running."""
        for launch in self.begun:
            if launch not in self.exits:
                self.launcher.drain(launch, 0.0)
                self.wait_for(lambda launch=launch: launch in self.exits)

    def run(self, script, **options):
        return self.end(self.start(script, **options))

    def errors(self, rank=0):
        return (self.root / f"err{rank}").read_text()

    def beginning(self):
        return next(news for news in self.news if isinstance(news, Beginning))

    def matched(self):
        """What the best report's checkpoint is, as it was told last: level, epoch inside, and how sure that is."""
        known = [news for news in self.news if isinstance(news, Matched)][-1]
        return known.values["epoch"], epoch_in(self.store.files(known.generation)), known.match

    def epochs(self):
        """The epochs in all generations."""
        return [epoch_in(self.store.files(number)) for number in self.store.numbers()]

    def seen(self, text):
        """Waits until a script has printed something."""
        self.wait_for(lambda: self.log.exists() and text in self.log.read_text())


def epoch_in(folder):
    """The newest epoch in a folder, in which no file may be torn, or of another epoch than its name says."""
    epochs: dict[str, set[int]] = {}
    for path in (path for path in folder.rglob("*") if path.is_file()):
        text, (name, *_) = path.read_text(), path.relative_to(folder).parts
        first, last = text.partition(":")[0], text.rpartition(":")[2]
        assert len(text) > 50_000, f"{path} is torn"
        assert first == last, f"{path} is torn"
        group = name if "-" in name and not name.startswith("part") else ""
        assert group.rpartition("-")[2] in ("", first)
        epochs.setdefault(group, set()).add(int(first))
    assert all(len(group) == 1 for group in epochs.values()), f"{folder} mixes {epochs}"
    return max(epoch for group in epochs.values() for epoch in group)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.launcher.close()


@pytest.fixture
def launches(tmp_path, wait_for, server):
    launches = Launches(tmp_path, wait_for, server)
    yield launches
    launches.close()


WRITERS = ("atomic", "in_place", "new", "several", "renamed")


@pytest.mark.parametrize("is_early", [True, False], ids=["save, report", "report, save"])
@pytest.mark.parametrize("writer", WRITERS)
def test_every_generation_is_a_whole_epoch_and_the_match_is_true(launches, writer, is_early):
    launches.folder.mkdir()  # what is renamed in a folder that is not watched yet is copied the first time
    save, tell = f"{writer}(epoch)", "report(epoch, LOSSES[epoch])"
    body = [save, tell] if is_early else [tell, save]
    script = "for epoch in range(1, 7):\n    train()\n" + "".join(f"    {line}\n" for line in body)
    # What must be copied is left to the next launch if the script has ended before anybody has looked at it.
    ending = launches.run(script + "while not taken():\n    time.sleep(0.005)\n")
    assert (ending.is_whole, ending.has_changed, ending.error) == (True, True, "")
    epochs = launches.epochs()
    assert epochs == sorted(epochs)
    assert ending.num_taken >= len(epochs) > 0  # one that lacks files is removed again
    assert epoch_in(launches.folder) == 6
    if writer in ("atomic", "renamed"):
        # The first time, nobody knows yet that what is written aside is moved to its place.
        found = [known for known in launches.store.generations() if not {"aside", "model.new"} & known.live.keys()]
        assert {known.number: known.bytes_copied for known in found if known.bytes_copied} == {}
    if any(isinstance(news, Matched) for news in launches.news):
        level, epoch, match = launches.matched()
        assert level in (1, 2, 3)
        assert epoch == level if match == "exact" else level <= epoch <= level + match
    # What is known of its order is either true or nothing.
    assert ending.order in ("unknown", "early" if is_early else "late")


def test_what_is_matched_is_what_it_says_once_the_order_is_known(launches):
    launches.folder.mkdir()
    body = """
for epoch in range(1, 7):
    atomic(epoch)
    report(epoch, LOSSES[epoch])
    while matched() < min(epoch, 3):
        time.sleep(0.005)
    time.sleep(0.05)  # it trains: all that was written before is seen
"""
    launches.run(body, order="early")
    assert launches.matched() == (3, 3, "exact")


def test_a_file_that_is_rewritten_in_place_does_not_change_its_older_generations(launches):
    # It waits until there is a generation of each epoch, as one does that trains for long.
    body = """
for epoch in range(1, 5):
    in_place(epoch)
    report(epoch, 1 / epoch)
    while not list(folder.parent.glob(f".checkpoints-generations/{epoch:06d}")):
        time.sleep(0.005)
"""
    ending = launches.run(body)
    assert ending.is_whole, launches.errors()
    assert launches.epochs() == [1, 2, 3, 4]


def test_who_overwrites_its_checkpoint_without_a_pause_gets_generations_too(launches):
    """The next save begins before a copy is done, and waits for it."""
    body = """
epoch = 0
while taken() < 3:
    epoch += 1
    path = folder / "model"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{epoch}:" + "x" * 4_000_000 + f":{epoch}")
    report(epoch, 1 / epoch)
"""
    ending = launches.run(body)
    assert ending.is_whole, launches.errors()
    assert ending.error == ""
    epochs = launches.epochs()  # none of them is torn
    assert len(epochs) >= 3
    assert epochs == sorted(set(epochs))


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


HDF5 = """
def hdf5(path, epoch):
    if path.exists():
        os.close(os.open(path, os.O_RDWR))  # HDF5 looks at what it is about to overwrite
    put(path, epoch)

def save(epoch):
    for name in NAMES:
        (hdf5 if name.endswith("h5") else put)(folder / "backup" / name, epoch)

def generation_of(epoch):
    try:
        newest = folder.parent / f".checkpoints-generations/{taken():06d}/files"
        return (newest / "backup/meta").read_text() == sealed(epoch)
    except FileNotFoundError:
        return False
"""


@pytest.mark.parametrize("names", [("w.h5", "meta"), ("meta", "w.h5"), ("meta", "v.h5", "w.h5")], ids=" ".join)
def test_a_file_that_is_opened_for_writing_but_not_written_to_is_no_part_of_a_save(launches, names):
    """Keras's BackupAndRestore; also in a launch that does not know yet what a checkpoint consists of."""
    body = f"NAMES = {names}\n" + HDF5
    launches.run(f"{body}report(1, 1.0)\nsave(1)\nwhile not generation_of(1):\n    time.sleep(0.005)")
    assert launches.epochs() == [1], launches.errors()
    body += """
for name in NAMES:
    os.close(os.open(folder / "backup" / name, os.O_RDWR))  # it is loaded
for epoch in (2, 3, 4):
    report(epoch, 1 / epoch)
    save(epoch)
    while not generation_of(epoch):
        time.sleep(0.005)
"""
    ending = launches.run(body)
    assert (ending.is_whole, ending.error) == (True, ""), launches.errors()
    assert launches.epochs() == [1, 2, 3, 4]
    known = [news for news in launches.news if isinstance(news, Matched)]
    for news in known:
        found, level = epoch_in(launches.store.files(news.generation)), news.values["epoch"]
        assert found == level if news.match == "exact" else level <= found <= level + news.match


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
    assert "its only checkpoint was being written when its writer was killed" in launches.beginning().restored


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
    assert "its only checkpoint was being written when its writer was killed" in launches.beginning().restored


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


def test_a_drain_waits_for_a_write_that_goes_on(launches, tmp_path):
    launch = launches.start(
        """
half = halves(folder / "model", 1)
next(half)
print("half", flush=True)
while not Path("go on").exists():
    time.sleep(0.005)
time.sleep(0.3)  # SIGTERM would end it here
next(half, None)
print("whole", flush=True)
time.sleep(600)
"""
    )
    launches.seen("half")
    launches.launcher.drain(launch, 60.0)
    (tmp_path / "go on").write_text("")
    ending = launches.end(launch)
    assert "whole" in launches.log.read_text()
    assert ending.is_whole
    assert launches.exits[launch].exit_code == -15
    assert epoch_in(launches.folder) == 1
    launches.run("assert saved() == 1")
    assert not launches.beginning().restored, launches.errors()


@pytest.mark.parametrize("is_new", [False, True])
def test_a_file_that_is_mapped_into_memory_is_being_written_after_it_was_closed(launches, is_new):
    """As torch.UntypedStorage.from_file does it: no event tells of what is written, and no descriptor is open."""
    launch = launches.start(
        f"""
import ctypes
(new if {is_new} else in_place)(1)
report(1, 1.0)
while not taken():
    time.sleep(0.005)
path = folder / ("model-2" if {is_new} else "model")
fd = os.open(path, os.O_RDWR | os.O_CREAT)
if {is_new}:
    os.ftruncate(fd, len(sealed(2)))
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
place = libc.mmap(None, ctypes.c_size_t(len(sealed(2))), 3, 1, fd, ctypes.c_long(0))
os.close(fd)
ctypes.memmove(place, sealed(2).encode(), 20_000)
print("half", flush=True)
time.sleep(600)
"""
    )
    launches.seen("half")
    launches.launcher.drain(launch, 0.3)
    assert not launches.end(launch).is_whole
    assert launches.epochs() == [1]
    launches.run(f"assert os.listdir(folder) == [{'model-1' if is_new else 'model'!r}]")
    assert launches.beginning().generation == 1, launches.errors()
    assert launches.exits[launch + 1].exit_code == 0, launches.errors()


def test_a_write_that_never_ends_is_not_waited_for_beyond_the_grace_period(launches):
    launch = launches.start(
        "half = halves(folder / 'model', 1)\nnext(half)\nprint('half', flush=True)\ntime.sleep(600)"
    )
    launches.seen("half")
    launches.launcher.drain(launch, 0.3)
    assert not launches.end(launch).is_whole


def test_what_was_saved_on_sigterm_by_who_then_dies_of_it_is_tried(launches):
    launch = launches.start(
        """
def leave(*_):
    in_place(1)  # nobody may be quick enough to see that the file was closed by a process that has lived on
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)

signal.signal(signal.SIGTERM, leave)
print("ready", flush=True)
time.sleep(600)
"""
    )
    launches.seen("ready")
    launches.launcher.drain(launch, 60.0)
    launches.end(launch)
    assert launches.exits[launch].exit_code == -15
    launches.run("assert saved() == 1")
    assert not launches.beginning().restored, launches.errors()


def test_no_generation_is_taken_of_what_a_thread_writes_while_the_handler_of_sigterm_ends_the_process(launches):
    launch = launches.start(
        """
import threading

def leave(*_):
    half = halves(folder / "model", 1)
    thread = threading.Thread(target=next, args=(half,))
    thread.start()
    thread.join()  # half of it is written
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)

signal.signal(signal.SIGTERM, leave)
print("ready", flush=True)
time.sleep(600)
"""
    )
    launches.seen("ready")
    launches.launcher.drain(launch, 60.0)
    ending = launches.end(launch)
    assert (ending.is_whole, ending.num_taken) == (False, 0)


@pytest.mark.parametrize("num_ranks", [1, 2])
def test_who_leaves_in_order_in_the_middle_of_a_write_has_not_finished_it(launches, num_ranks):
    body = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0) if RANK == 0 else None)
if RANK == 0:
    half = halves(folder / "model", 1)
    next(half)
    print("half", flush=True)
while True:
    time.sleep(600)
"""
    launch = launches.start(body, num_ranks)
    launches.seen("half")
    launches.launcher.drain(launch, 1.0)
    assert not launches.end(launch).is_whole
    assert launches.exits[launch].exit_codes[0] == 0


def test_a_rank_that_has_left_holds_up_nothing(launches):
    ending = launches.run(
        """
if RANK == 0:
    for epoch in (1, 2, 3):
        atomic(epoch)
        report(epoch, 1 / epoch)
        while not list(folder.parent.glob(f".checkpoints-generations/{epoch:06d}")):
            time.sleep(0.005)
""",
        num_ranks=2,
    )
    assert ending.is_whole, launches.errors()
    assert launches.epochs()[-1] == 3  # the first one may have been taken before the file was in its place


def test_a_file_that_is_always_open_does_not_hold_up_anything(launches):
    launch = launches.start(
        """
folder.mkdir()
log = open(folder / "events.tfevents", "a")
for epoch in range(1, 600):
    atomic(epoch)
    report(epoch, 1 / epoch)
    log.write(f"{epoch}\\n")
    log.flush()
    time.sleep(0.5 if epoch > 3 else 0.05)
"""
    )
    launches.wait_for(lambda: any(isinstance(news, Matched) and news.report > 2 for news in launches.news))
    launches.launcher.drain(launch, 600.0)
    launches.end(launch)
    assert launches.exits[launch].exit_code == -15
    assert not launches.exits[launch].killed
    assert [path.name for path in launches.store.files(launches.store.numbers()[-1]).iterdir()]


def test_who_keeps_its_checkpoint_open_is_told_to_close_it_and_is_not_waited_for(launches):
    launch = launches.start(
        """
folder.mkdir()
file = open(folder / "state.db", "w")
for epoch in range(1, 1000):
    file.seek(0)
    file.write(sealed(epoch))
    file.flush()
    report(epoch, 1 / epoch)
    time.sleep(0.2)
"""
    )
    launches.seen('"epoch": 6')
    launches.launcher.drain(launch, grace_s=60.0)
    ending = launches.end(launch)
    assert "state.db in the checkpoint folder stays open for writing" in ending.error
    assert not ending.is_whole
    # Patience with what is written would be as long as most of the grace period.
    assert launches.log.read_text().count("tune-metric") < 100


def test_a_script_that_never_saves_leaves_nothing(launches):
    ending = launches.run("for epoch in range(1, 4):\n    report(epoch, 1 / epoch)")
    assert (ending.is_whole, ending.has_changed, ending.num_taken, ending.error) == (True, False, 0, "")
    assert sorted(os.listdir(launches.folder.parent)) == ["std.out"]


def test_a_script_may_delete_its_folder(launches):
    body = "for epoch in (1, 2, 3):\n    shutil.rmtree(folder, ignore_errors=True)\n    put(folder / 'model', epoch)\n"
    # Long epochs: if two of them are only seen at once, on a busy machine, nobody can say in which order it saves.
    ending = launches.run(body + "    report(epoch, 1 / epoch)\n    time.sleep(0.4)\n")
    assert (ending.is_whole, ending.error) == (True, "")
    # What is in a new folder before it is watched may be noticed after the report: then it may be newer by one.
    assert set(launches.epochs()) <= {1, 2, 3}
    level, epoch, match = launches.matched()
    assert (level, epoch) == (3, 3)
    assert match in ("exact", 1)
    assert epoch_in(launches.folder) == 3
    ending = launches.run("shutil.rmtree(folder)\nreport(4, 0.1)")
    assert (ending.is_whole, ending.has_changed) == (True, True)
    launches.run("assert not folder.exists()")
    assert launches.beginning().restored == ""


def test_the_checkpoint_before_may_be_set_aside(launches):
    body = """
for epoch in (1, 2, 3, 4):
    if (folder / "model").exists():
        os.replace(folder / "model", folder / "model.old")
    in_place(epoch)
    report(epoch, 1 / epoch)
    while matched() < epoch:
        time.sleep(0.005)
"""
    launches.run(body, order="early")
    for number in launches.store.numbers():
        text = (launches.store.files(number) / "model").read_text()
        assert text.partition(":")[0] == text.rpartition(":")[2] == str(number)
    known = [news for news in launches.news if isinstance(news, Matched)][-1]
    assert (known.values["epoch"], known.generation) == (4, 4)


@pytest.mark.parametrize(
    "save",
    [
        # Two files in turn, and then which one is the newest.
        "put(folder / 'AB'[epoch % 2], epoch); time.sleep(0.05); (folder / 'newest').write_text('AB'[epoch % 2])",
        # A file that gets a second name and loses the first one.
        (
            "put(folder / f'step-{epoch}', epoch); os.link(folder / f'step-{epoch}', folder / 'tmp'); "
            "time.sleep(0.05); os.replace(folder / 'tmp', folder / 'newest'); (folder / f'step-{epoch}').unlink()"
        ),
    ],
    ids=["in turn", "second name"],
)
def test_the_checkpoint_is_that_which_the_last_file_says(launches, save):
    body = f"""
epoch = 0
while not (folder.parent / "enough").exists():
    epoch, before = epoch + 1, taken()
    {save}
    report(epoch, 1 / epoch)
    while taken() == before:
        time.sleep(0.005)
os._exit(3)
"""
    launch = launches.start(body, order="early")
    # On a busy machine, a checkpoint now and then is not matched for certain.
    launches.wait_for(lambda: sum(isinstance(news, Matched) for news in launches.news) > 4)
    (launches.folder.parent / "enough").write_text("")
    launches.end(launch)
    found = {}
    for number in launches.store.numbers():
        text = (launches.store.files(number) / "newest").read_text()
        text = (launches.store.files(number) / text).read_text() if text in "AB" else text
        found[number] = int(text.partition(":")[0])
    assert len(found) > 2
    # The generation of the first one may have been removed: the files that followed might have been its own.
    known = [news for news in launches.news if isinstance(news, Matched) and news.generation in found]
    assert len(known) > 2
    for news in known:
        newer_by = 0 if news.match == "exact" else news.match
        assert 0 <= found[news.generation] - news.values["epoch"] <= newer_by


def test_a_file_that_is_written_in_place_with_the_time_of_the_one_before_is_another_checkpoint(launches):
    body = """
for epoch in (1, 2, 3):
    in_place(epoch)
    os.utime(folder / "model", (1e9, 1e9))
    report(epoch, 1 / epoch)
    while matched() < epoch:
        time.sleep(0.005)
"""
    launches.run(body, order="early")
    assert launches.matched()[:2] == (3, 3)


def test_a_link_to_the_last_file_is_put_in_place_by_a_rename(launches):
    """It is gone when its event is read."""
    launches.folder.mkdir()
    body = """
for epoch in (1, 2, 3):
    put(folder / f"model-{epoch}", epoch)
    (folder / "latest.new").symlink_to(f"model-{epoch}")
    os.replace(folder / "latest.new", folder / "latest")
    (folder / f"model-{epoch - 1}").unlink(missing_ok=True)
    report(epoch, 1 / epoch)
    while matched() < epoch:
        time.sleep(0.005)
"""
    ending = launches.run(body, order="early")
    assert ending.is_whole, launches.errors()
    assert launches.matched()[:2] == (3, 3)


def test_the_first_checkpoint_is_not_kept_without_the_files_that_are_written_after_a_pause(launches):
    ending = launches.run(
        """
put(folder / "model", 1)
while not list(folder.parent.glob(".checkpoints-generations/00*")):
    time.sleep(0.005)
put(folder / "optimizer", 1)
while list(folder.parent.glob(".checkpoints-generations/000001")):
    time.sleep(0.005)
half = halves(folder / "scheduler", 1)  # stays open as long as it is referred to
next(half)
os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    assert not ending.is_whole
    launches.run("print('found', sorted(path.name for path in folder.glob('*')), flush=True)")
    assert "found ['model']" not in launches.log.read_text()


def test_a_folder_that_is_a_link_is_as_good_as_another_one(launches, tmp_path):
    (tmp_path / "disk").mkdir()
    launches.folder.symlink_to(tmp_path / "disk")
    body = "for epoch in (1, 2, 3):\n    in_place(epoch)\n    report(epoch, 1 / epoch)\n    train()\n"
    body += "while not list(folder.parent.glob('.checkpoints-generations/00*')):\n    time.sleep(0.005)\n"
    ending = launches.run(body + "half = halves(folder / 'model', 4)\nnext(half)\nos.kill(os.getpid(), signal.SIGKILL)")
    assert not ending.is_whole
    assert launches.epochs()
    ending = launches.run("print('saved', saved())\nin_place(9)")
    assert launches.beginning().restored
    assert launches.folder.is_symlink()
    assert epoch_in(tmp_path / "disk") == 9
    assert ending.is_whole


@pytest.mark.parametrize("what", ["a file", "a link to itself", "a fifo"])
def test_what_is_no_folder_is_the_scripts_affair(launches, what):
    if what == "a file":
        launches.folder.write_text("")
    elif what == "a link to itself":
        launches.folder.symlink_to("checkpoints")
    else:
        os.mkfifo(launches.folder)
    launch = launches.start("report(1, 1.0)")
    launches.end(launch)
    assert launches.exits[launch].exit_code == 0
    launches.seen("epoch")


def test_of_two_ranks_each_may_write_its_part_of_a_folder(launches):
    launches.folder.mkdir()
    ending = launches.run(
        """
def meet(what):
    (folder.parent / f"{what}-{RANK}").write_text("")
    while not (folder.parent / f"{what}-{1 - RANK}").exists():
        time.sleep(0.005)

for epoch in (1, 2, 3):
    put(folder / "aside" / f"part-{RANK}", epoch)
    meet(f"written-{epoch}")
    if RANK == 0:
        os.rename(folder / "aside", folder / f"step-{epoch}")
    meet(f"moved-{epoch}")
    report(epoch, 1 / epoch)  # of which rank 0's counts
    meet(f"reported-{epoch}")
    while matched() < epoch:
        time.sleep(0.005)
""",
        num_ranks=2,
        order="early",
    )
    assert ending.is_whole, launches.errors(0) + launches.errors(1)
    assert launches.matched()[:2] == (3, 3)
    found = [known for known in launches.store.generations() if "aside" not in known.live]
    assert {known.number: known.bytes_copied for known in found if known.bytes_copied} == {}
    for known in found:
        names = [path for path in known.live if path.rpartition("/")[2].startswith("part")]
        assert len(names) % 2 == 0


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


class InProcess:
    """A keeper in this process, of a script that does what it is told."""

    def __init__(self, folder, notes=None, **fields):
        self.folder = folder / "0" / "checkpoints"
        self.folder.mkdir(parents=True)
        if notes is not None:  # of earlier launches
            GenerationStore(self.folder).write_notes(notes)
        self.log = folder / "0" / "std.out"
        spec = CheckpointSpec(str(self.folder), str(self.log), 0, time_attr="epoch", metric="loss", **fields)
        self.keeper = GenerationKeeper(spec, lambda _: None)
        self.beginning = self.keeper.prepare()
        text = "import os, sys, json\nfor line in sys.stdin:\n    exec(line)\n    print('done', flush=True)"
        self.script = subprocess.Popen([sys.executable, "-c", text], stdin=-1, stdout=-1, text=True)
        self.keeper.start([self.script.pid])

    def do(self, what):
        self.script.stdin.write(f"{what}\n")
        self.script.stdin.flush()
        assert self.script.stdout.readline() == "done\n"

    def report(self, epoch, loss):
        with open(self.log, "a") as file:
            file.write(f"[tune-metric]: {json.dumps({'epoch': epoch, 'loss': loss})}\n")

    def generations(self):
        return GenerationStore(self.folder).numbers()

    def end(self):
        if self.script.poll() is None:
            self.script.communicate("")
        ending = self.keeper.finish([self.script.returncode])
        self.keeper.close()
        return ending


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


@pytest.mark.parametrize("order", ["unknown", "late"])
def test_a_drain_waits_for_the_save_after_a_report(in_process, wait_for, order):
    script = in_process(order=order)
    path = str(script.folder / "model")
    script.report(1, 1.0)
    assert script.keeper.is_saving()  # it may be about to begin
    script.do(f"file = open({path!r}, 'w'); file.write('half'); file.flush()")
    assert script.keeper.is_saving()
    script.do("file.close()")
    wait_for(lambda: not script.keeper.is_saving())
    assert script.end().is_whole


def test_a_drain_waits_for_a_save_that_no_event_has_told_of(in_process, monkeypatch, wait_for):
    script = in_process(order="early")
    path = str(script.folder / "model")
    script.report(1, 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(script.keeper._observer, "look", lambda: None)
        script.do(f"file = open({path!r}, 'w'); file.write('half'); file.flush()")
        assert not script.keeper.drain(may_wait=True)
        assert script.keeper.drain(may_wait=False)
        script.do("file.close()")
        assert script.keeper.drain(may_wait=True)
    assert script.end().is_whole


def test_a_drain_waits_if_a_save_began_and_ended_while_it_looked(in_process, monkeypatch):
    """Else the process might die of SIGTERM before anybody saw that it was alive when it had saved."""
    script = in_process(order="early")
    path = str(script.folder / "model")
    script.do(f"file = open({path!r}, 'w'); file.write('1'); file.close()")
    script.report(1, 1.0)
    look = script.keeper._observer.open_files

    def saved_meanwhile():
        script.do(f"file = open({path!r}, 'r+'); file.write('22'); file.close()")
        return look()

    with monkeypatch.context() as patch:
        patch.setattr(script.keeper._observer, "look", lambda: None)
        patch.setattr(script.keeper._observer, "open_files", saved_meanwhile)
        assert not script.keeper.drain(may_wait=True)
        patch.setattr(script.keeper._observer, "open_files", look)
        assert script.keeper.drain(may_wait=True)
        script.script.kill()
        script.script.wait()
    assert script.end().is_whole


def test_a_drain_does_not_wait_for_a_script_that_has_saved_before_its_report(in_process, wait_for):
    script = in_process(order="early")
    script.do(f"open({str(script.folder / 'model')!r}, 'w').close()")
    script.report(1, 1.0)
    wait_for(lambda: not script.keeper.is_saving())
    assert Order(script.end().order) is Order.EARLY


def test_a_short_pause_says_nothing_of_the_first_save_of_a_thread(in_process, monkeypatch, wait_for):
    """It goes on beside reports, so that neither a report nor a pause shows that all its files are written."""
    monkeypatch.setattr(keeper_module, "_ASIDE_S", 600.0)
    script = in_process()
    model, optimizer = (str(script.folder / name) for name in ("model", "optimizer"))
    script.report(1, 1.0)
    script.do(f"file = open({model!r}, 'w'); file.write('1'); file.flush()")
    script.report(2, 0.5)
    script.do("file.close()")
    time.sleep(3 * keeper_module.QUIET_S)
    assert script.keeper.is_saving()
    script.report(3, 0.4)
    assert script.generations() == []
    script.do(f"file = open({optimizer!r}, 'w'); file.write('1'); file.close()")
    for path in (model, optimizer):  # the second one shows what a checkpoint consists of
        script.do(f"file = open({path!r}, 'w'); file.write('2'); file.close()")
    wait_for(lambda: not script.keeper.is_saving())
    wait_for(script.generations)
    assert script.end().is_whole


def save(script, *names):
    for name in names:
        script.do(f"file = open({str(script.folder / name)!r}, 'w'); file.write('1'); file.close()")


def set_aside(script, name):
    script.do(f"os.replace({str(script.folder / name)!r}, {str(script.folder / name)!r} + '.old')")


SAVES = {
    "settings once": [("settings", "model"), ("model",)],
    "settings once, then files": [("settings", "words", "model", "state"), ("model", "state")],
    "a backup": [("model",), ("-model", "model")],
    "a backup of the last file": [("model", "index"), ("model", "-index", "index"), ("model", "-index", "index")],
}


@pytest.mark.parametrize("saves", SAVES.values(), ids=SAVES)
def test_a_script_that_has_reported_after_a_whole_save_is_not_waited_for(in_process, monkeypatch, wait_for, saves):
    monkeypatch.setattr(keeper_module, "_ASIDE_S", 600.0)
    script = in_process(order="early")
    for epoch, names in enumerate(saves, start=1):
        for name in names:
            save(script, name) if name[0] != "-" else set_aside(script, name[1:])
        script.keeper.is_saving()  # looks, before the report
        script.report(epoch, 1 / epoch)
        wait_for(lambda: not script.keeper.is_saving())
    script.script.terminate()
    script.script.wait()
    assert script.end().is_whole


def test_a_folder_that_was_made_for_the_next_checkpoint_at_sigterm_is_no_part_of_this_one(in_process):
    script = in_process(order="early")
    for step in (1, 2):
        (script.folder / f"step-{step}").mkdir()
        save(script, f"step-{step}/model")
        script.report(step, 1 / step)
        script.keeper.is_saving()
    (script.folder / "step-3").mkdir()
    script.keeper.drain()
    script.script.terminate()
    script.script.wait()
    assert not script.end().is_whole
    store = GenerationStore(script.folder)
    assert all("step-3" not in generation.live for generation in store.generations())


def test_the_first_save_of_a_thread_is_tried_if_the_script_is_killed(in_process):
    script = in_process()
    script.report(1, 1.0)
    script.do(f"file = open({str(script.folder / 'model')!r}, 'w'); file.write('1'); file.flush()")
    script.report(2, 0.5)
    script.do("file.close()")
    assert script.keeper.is_saving()  # and sees that the script has closed the file and lives on
    script.script.kill()
    script.script.wait()
    assert not script.end().is_whole
    assert script.generations() == []
    assert GenerationStore(script.folder).notes().left is not None


@pytest.mark.parametrize("second", ["model", "model-2"])
@pytest.mark.parametrize("rests", [True, False])
def test_the_first_save_of_a_thread_is_put_back_if_the_script_is_killed_in_the_second_one(
    in_process, wait_for, monkeypatch, second, rests
):
    """Nobody knew whether it was complete: it is tried, and not published."""
    if not rests:
        monkeypatch.setattr(tried_module, "FIRST_QUIET_S", 600.0)
    trial = in_process()
    trial.report(1, 1.0)
    trial.do(f"file = open({str(trial.folder / 'model')!r}, 'w'); file.write('first'); file.flush()")
    trial.report(2, 0.5)
    trial.do("file.close()")
    held = GenerationStore(trial.folder).folder / ".held"
    if rests:
        wait_for(lambda: trial.keeper._shelf._held is not None)
    trial.do(f"file = open({str(trial.folder / second)!r}, 'w'); file.write('sec'); file.flush()")
    trial.script.kill()
    trial.script.wait()
    assert not trial.end().is_whole
    left = {path.name: path.read_text() for path in trial.folder.iterdir()}
    assert left == {"model": "first"} if rests else left != {"model": "first"}
    assert not held.exists()
    assert trial.generations() == []
    assert not trial.keeper._matcher.matched
    assert (GenerationStore(trial.folder).notes().left is not None) == rests


@pytest.mark.parametrize("num_before", [1, 2])
def test_a_later_launch_knows_when_the_first_save_of_a_thread_is_complete(
    in_process, monkeypatch, wait_for, num_before
):
    """As the launch before has shown it; a new file for each epoch may be no other rank's."""
    monkeypatch.setattr(keeper_module, "_ASIDE_S", 600.0)
    trial = in_process(notes=Notes(layout=["step-#"], num_processes=num_before))
    trial.report(1, 1.0)
    trial.do(f"file = open({str(trial.folder / 'step-2')!r}, 'w'); file.write('2'); file.flush()")
    trial.report(2, 0.5)
    trial.do("file.close()")
    wait_for(trial.generations)
    trial.script.kill()
    trial.script.wait()
    assert trial.end().is_whole
    notes = GenerationStore(trial.folder).notes()
    assert (notes.layout, notes.num_processes) == (["step-#"], 1)


@pytest.mark.parametrize("can_join", [False, True])
def test_a_launch_hands_on_what_a_checkpoint_consists_of(in_process, wait_for, tmp_path, can_join):
    """But not if processes can join it: it may write the files of more processes than it began with."""
    able = tmp_path / "able"
    trial = in_process(able_path=str(able))
    if can_join:
        able.touch()
    for epoch in (1, 2, 3):
        save(trial, "model", "state")
        trial.report(epoch, 1 / epoch)
        wait_for(lambda epoch=epoch: trial.keeper._matcher.num_reports == epoch)
    assert trial.end().is_whole
    assert GenerationStore(trial.folder).notes().layout == ([] if can_join else ["model", "state"])


def test_a_checkpoint_that_is_removed_after_a_short_pause_was_no_file_of_brief_use(in_process, monkeypatch, wait_for):
    """A script saves twice before its first report, and removes the first checkpoint before the second one."""
    for module in (keeper_module, tried_module):
        monkeypatch.setattr(module, "FIRST_QUIET_S", 600.0)
    monkeypatch.setattr(keeper_module, "_ASIDE_S", 600.0)
    trial = in_process()
    save(trial, "model", "state")
    lifetimes = trial.keeper._observer.bursts._lifetimes
    wait_for(lambda: lifetimes.has_rested)
    trial.do(f"os.remove({str(trial.folder / 'model')!r})")
    save(trial, "model", "state")
    trial.report(1, 1.0)
    wait_for(trial.generations)
    assert trial.end().is_whole


@pytest.mark.parametrize("reports", [False, True])
def test_a_kill_after_a_file_of_the_first_checkpoint_may_have_come_before_the_next_file(
    in_process, monkeypatch, reports
):
    """It is tried, and not published."""
    monkeypatch.setattr(keeper_module, "FIRST_QUIET_S", 600.0)
    trial = in_process()
    trial.report(1, 1.0)
    trial.do(f"with open({str(trial.folder / 'model')!r}, 'w') as file: file.write('1')")
    trial.keeper.is_saving()  # looks
    if reports:
        trial.report(2, 2.0)
    trial.script.kill()
    trial.script.wait()
    assert trial.end().is_whole is reports
    assert bool(trial.generations()) is reports
    assert bool(trial.keeper._matcher.matched) is reports
    assert GenerationStore(trial.folder).notes().left is not None


def test_a_kill_in_the_second_save_leaves_the_generation_of_the_first_one(in_process, wait_for):
    """Even if nobody saw whether the report came before or after the first save."""
    trial = in_process()
    with trial.keeper._lock:  # all of it is seen at once
        with open(trial.log, "a") as file:
            file.write("a line that may be the report\n")
        (trial.folder / "step-1").mkdir()
        save(trial, "step-1/model", "step-1/state")
        trial.report(1, 1.0)
    wait_for(trial.generations)
    taken = trial.generations()
    (trial.folder / "step-2").mkdir()
    trial.script.kill()
    trial.script.wait()
    assert not trial.end().is_whole
    assert trial.generations() == taken


def test_what_is_added_to_the_first_save_of_a_thread_is_held_with_it(in_process, wait_for):
    trial = in_process()
    trial.report(1, 1.0)
    trial.do(f"file = open({str(trial.folder / 'model')!r}, 'w'); file.write('1'); file.flush()")
    trial.report(2, 0.5)
    trial.do("file.close()")
    shelf = trial.keeper._shelf
    wait_for(lambda: shelf._held is not None and set(shelf._held.live) == {"model"})
    save(trial, "state")
    wait_for(lambda: shelf._held is not None and set(shelf._held.live) == {"model", "state"})
    save(trial, "model", "state")
    wait_for(trial.generations)  # now it is known what a checkpoint consists of
    assert trial.end().is_whole
    assert not (GenerationStore(trial.folder).folder / ".held").exists()


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


def test_links_to_what_is_outside_are_no_checkpoint(in_process, tmp_path, wait_for):
    trial = in_process()
    trial.do(
        f"open({str(tmp_path / 'model')!r}, 'w').close(); "
        f"os.symlink({str(tmp_path / 'model')!r}, {str(trial.folder / 'model')!r})"
    )
    trial.report(1, 1.0)
    assert trial.end().num_taken == 0
    assert trial.generations() == []


def test_nobody_waits_for_a_copy(in_process, monkeypatch, wait_for):
    """The supervisor keeps the time of the deadline while a checkpoint of any size is copied."""
    monkeypatch.setattr(keeper_module, "_PATIENCE_S", 0.0)
    script = in_process()
    copying, may_end = keeper_module.threading.Event(), keeper_module.threading.Event()
    take = GenerationStore.take

    def slow(*arguments, **options):
        copying.set()
        may_end.wait()
        return take(*arguments, **options)

    monkeypatch.setattr(GenerationStore, "take", slow)
    script.do(f"file = open({str(script.folder / 'model')!r}, 'w'); file.write('x'); file.close()")
    wait_for(copying.is_set)
    script.keeper.follow("step", "accuracy", False)
    wait_for(lambda: not script.keeper.is_saving())
    script.do(f"file = open({str(script.folder / 'other')!r}, 'w'); file.write('x'); file.flush()")
    assert script.keeper.is_saving()
    script.keeper.drain()
    may_end.set()
    script.do("file.close()")
    script.report(1, 1.0)  # it has not left, although it was asked to
    wait_for(lambda: not script.keeper.is_saving())
    assert script.end().is_whole


def test_an_error_is_told_and_the_launch_takes_place(in_process, monkeypatch):
    def fail(*_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(keeper_module, "read_tree", fail)
        script = in_process()
    assert "Permission denied" in script.beginning.error
    assert not script.keeper.is_saving()
    script.keeper.drain()
    ending = script.end()
    assert (ending.is_whole, "Permission denied" in ending.error) == (False, True)


def test_a_folder_that_cannot_be_watched_is_told_when_the_launch_begins(in_process, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EMFILE, "too many programs watch files")

    with monkeypatch.context() as patch:
        patch.setattr(keeper_module, "ChangeWatch", refuse)
        script = in_process()
    assert "best/ may get no checkpoint: " in script.beginning.error
    assert "too many programs watch files" in script.beginning.error
    ending = script.end()
    assert (ending.is_whole, ending.error) == (False, script.beginning.error)


def test_an_error_at_the_end_is_told(in_process, monkeypatch):
    def fail(*_):
        raise PermissionError(13, "Permission denied")

    script = in_process()
    monkeypatch.setattr(keeper_module, "read_present", fail)
    ending = script.end()
    assert (ending.is_whole, "Permission denied" in ending.error) == (False, True)


def test_an_error_before_sigterm_is_told_and_the_launch_ends(in_process, monkeypatch):
    def fail(*_):
        raise PermissionError(13, "Permission denied")

    script = in_process()
    with monkeypatch.context() as patch:
        patch.setattr(drain_module, "read_tree", fail)
        script.keeper.drain()
    assert "Permission denied" in script.end().error


def test_the_ending_is_told_before_the_kernel_ends_the_watch(launches):
    keeper = GenerationKeeper(dataclasses.replace(launches.spec, launch=0), lambda _: None)
    keeper.prepare()
    keeper.start([])
    assert keeper.finish([0]).error == ""
    (watch,) = keeper.private_fds
    os.fstat(watch)
    keeper.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(watch)


@pytest.mark.parametrize("is_writing", [False, True])
def test_what_is_there_at_sigterm_is_whole_if_nobody_writes_however_late_it_is_looked_at(launches, is_writing):
    body = "folder.mkdir()\nfile = open(folder / 'model', 'w')\nfile.write(sealed(1))\nfile.flush()\n"
    body += "" if is_writing else "file.close()\n"
    (launches.root / "train.py").write_text(HEAD + body + "print('ready', flush=True)\ntime.sleep(1000)")
    keeper = GenerationKeeper(dataclasses.replace(launches.spec, launch=0), lambda _: None)
    keeper.prepare()
    with keeper._lock, open(launches.log, "w") as log:  # its thread does not get to look
        process = subprocess.Popen(
            [sys.executable, launches.root / "train.py"],
            env={**os.environ, "FOLDER": str(launches.folder), "RANK": "0"}, stdout=log,
        )  # fmt: skip
        keeper.start([process.pid])
        launches.wait_for(lambda: "ready" in launches.log.read_text())
        keeper.drain()
        process.terminate()
        process.wait()
    ending = keeper.finish([process.returncode])
    keeper.close()
    assert (process.returncode, ending.is_whole) == (-15, not is_writing)


@pytest.mark.parametrize("later_s", [10, -10])
def test_what_is_written_after_sigterm_has_killed_one_rank_is_whole_if_the_others_have_left(launches, later_s):
    """Nobody has looked while the writer was alive, as on a busy machine."""
    keeper = GenerationKeeper(dataclasses.replace(launches.spec, launch=0), lambda _: None)
    keeper.prepare()
    save = "import os, pathlib, sys, time; sys.stdin.read(); path = pathlib.Path(sys.argv[1]); path.write_text('1'); "
    save += f"os.utime(path, (time.time() + {later_s},) * 2); sys.exit(75)"
    with keeper._lock:  # its thread does not get to look
        launches.folder.mkdir()
        argv = [sys.executable, "-c", save, str(launches.folder / "model")]
        ranks = [subprocess.Popen(argv, stdin=subprocess.PIPE) for _ in range(2)]
        keeper.start([rank.pid for rank in ranks])
        keeper.drain()
        ranks[1].terminate()
        ranks[1].wait()
        keeper.strike()
        ranks[0].communicate(b"")
        ranks[1].stdin.close()
    exit_codes = [rank.returncode for rank in ranks]
    ending = keeper.finish(exit_codes)
    keeper.close()
    assert (exit_codes, ending.is_whole) == ([75, -15], later_s > 0)


def test_a_run_that_saves_between_its_reports_goes_on_from_what_it_saved_last(launches):
    """Two checkpoints for each report, then one alone: it is whole by itself."""
    ending = launches.run(
        """
def save(number):
    aside = folder / f"checkpoint-{number:09d}.aside"
    put(aside / "model", number)
    (aside / "manifest.json").write_text("{}")
    os.rename(aside, folder / f"checkpoint-{number:09d}")
    if number > 2:
        shutil.rmtree(folder / f"checkpoint-{number - 2:09d}")

for epoch in (1, 2, 3, 4):
    save(2 * epoch - 1)
    save(2 * epoch)
    report(epoch, 1 / epoch)
    train()
save(9)
sys.exit(75)
"""
    )
    assert ending.is_whole, launches.errors()
    launches.run("assert (folder / 'checkpoint-000000009').exists()")
    assert launches.beginning().restored == ""
    assert not launches.errors()


@pytest.mark.parametrize("leaves_more", [True, False])
def test_a_last_complete_checkpoint_with_which_the_next_launch_goes_on_is_a_copy(in_process, monkeypatch, leaves_more):
    """A hard link would change with the file, which the script writes in place."""
    script = in_process()
    path = script.folder / "model"
    script.do(f"file = open({str(path)!r}, 'w'); file.write('one'); file.close()")
    if leaves_more:
        (script.folder / "half").write_text("of the next one")
    tree = {name: state for name, state in keeper_module.read_tree(script.folder).items() if name == "model"}
    monkeypatch.setattr(script.keeper._observer, "last_complete", lambda: (tree, State(1, 1, 0.0)))
    with script.keeper._lock:
        script.keeper._taker.take_last_complete(is_tried=False)
        generation = script.keeper._shelf.newest
        assert generation is not None
        kept = script.keeper._store.files(generation.number) / "model"
        assert kept.samefile(path) is leaves_more  # then the folder is put back from the generation
