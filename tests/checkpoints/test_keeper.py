"""Generations of real scripts: each holds one whole epoch, and that of the best report is the one that it says."""

from __future__ import annotations

import os

import pytest

from syne_hypersched.checkpoints import (
    Matched,
)
from tests.checkpoints.saving import epoch_in

pytestmark = pytest.mark.usefixtures("no_process_left")

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
    epoch += 1
    {save}
    before = taken()
    report(epoch, 1 / epoch)
    for _ in range(40):  # not until it is taken, since that may have happened before the report
        time.sleep(0.005 if taken() == before else 0)
    time.sleep(0.06)  # what is written at once may be added to the checkpoint
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


def test_links_to_what_is_outside_are_no_checkpoint(in_process, tmp_path, wait_for):
    trial = in_process()
    trial.do(
        f"open({str(tmp_path / 'model')!r}, 'w').close(); "
        f"os.symlink({str(tmp_path / 'model')!r}, {str(trial.folder / 'model')!r})"
    )
    trial.report(1, 1.0)
    assert trial.end().num_taken == 0
    assert trial.generations() == []


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
