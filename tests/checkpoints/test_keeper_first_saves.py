"""The first save of a launch: nothing before it shows which files a checkpoint consists of."""

from __future__ import annotations

import os
import time

import pytest

from syne_hypersched.checkpoints import GenerationStore, Matched, Notes
from syne_hypersched.checkpoints import _keeper as keeper_module
from syne_hypersched.checkpoints import _tried as tried_module
from tests.checkpoints.saving import epoch_in, save

pytestmark = pytest.mark.usefixtures("no_process_left")


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


def test_a_kill_in_the_first_save_leaves_no_generation_even_if_a_report_came_between_two_files(in_process, wait_for):
    """A thread saves. Its second file looks like the first file of the next checkpoint."""
    trial = in_process()
    trial.report(1, 1.0)
    second = trial.folder / "step-1" / "shard-1"
    with trial.keeper._lock:  # no generation is taken meanwhile
        (trial.folder / "step-1").mkdir()
        trial.keeper._observer.look()
        save(trial, "step-1/shard-0")
        trial.keeper._observer.look()
        trial.report(2, 0.5)
        trial.keeper._observer.look()
        trial.do(f"file = open({str(second)!r}, 'w'); file.write('half'); file.flush()")
    wait_for(lambda: "step-1/shard-1" in trial.keeper._observer.unproven)
    trial.script.kill()
    trial.script.wait()
    assert not trial.end().is_whole
    assert trial.generations() == []


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


def test_a_file_that_makes_way_for_the_next_one_was_not_written_aside(in_process, monkeypatch, wait_for):
    """A script saves before its training, and renames the old checkpoint before it writes the next one."""
    monkeypatch.setattr(keeper_module, "_ASIDE_S", 600.0)
    script = in_process(keep=100)
    save(script, "model")
    wait_for(script.generations)
    model = script.folder / "model"
    for epoch in (1, 2, 3, 4):
        known = script.generations()
        # At once, so that no pause on a busy machine comes between the two.
        script.do(f"os.replace({str(model)!r}, {str(model)!r} + '.bak'); open({str(model)!r}, 'w').write('1')")
        script.report(epoch, 1 / epoch)
        wait_for(lambda epoch=epoch: script.keeper._matcher.num_reports == epoch)
        if epoch > 2:  # the first checkpoint has one file more than the next ones
            wait_for(lambda known=known: script.generations() != known)
            assert set(GenerationStore(script.folder).newest().live) == {"model", "model.bak"}
    assert script.end().is_whole


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


@pytest.mark.parametrize(
    "names",
    [("w.h5", "meta"), ("meta", "w.h5"), ("meta", "v.h5", "w.h5")],
    ids=" ".join,
)
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


def test_a_script_that_looks_at_the_links_of_its_file_does_not_change_what_is_published(launches):
    """As ``zip`` does: it replaces its archive by a new file, but writes in place if the archive has another link."""
    launches.folder.mkdir()  # the rename into it is seen
    launch = launches.start("""
def archive(epoch):
    path, aside = folder / "m.zip", folder / f"zi{epoch}"
    put(aside, epoch)
    if path.exists() and path.stat().st_nlink > 1:
        shutil.copyfile(aside, path)
        aside.unlink()
    else:
        os.replace(aside, path)

for epoch in (1, 2, 3, 4):
    archive(epoch)
    report(epoch, 1 / epoch)
    while taken() < epoch or (epoch == 1 and not (folder.parent / "published").exists()):
        time.sleep(0.005)
""")
    launches.wait_for(lambda: launches.store.numbers())
    launches.store.publish(launches.store.read(launches.store.numbers()[0]), launches.folder.parent / "published.new")
    os.rename(launches.folder.parent / "published.new", launches.folder.parent / "published")
    assert launches.end(launch).is_whole, launches.errors()
    assert epoch_in(launches.folder.parent / "published") == 1
    assert launches.epochs() == [2, 3, 4]  # the first one was overwritten, and no other one
