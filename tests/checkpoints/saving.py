"""Scripts that save and report in many ways: launched, or beside a keeper in this process."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

from syne_hypersched.checkpoints import (
    Beginning,
    CheckpointSpec,
    GenerationKeeper,
    GenerationStore,
    Matched,
)
from syne_hypersched.launch import Launcher, LaunchSpec, RankSpec

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


def save(script, *names):
    for name in names:
        script.do(f"file = open({str(script.folder / name)!r}, 'w'); file.write('1'); file.close()")
