"""Ways in which training scripts write their checkpoints, with a content that shows what is torn or mixed.

Every file says of which trial, launch and epoch it is and what part it plays, and ends with a checksum of all its
bytes. :func:`inspect` loads a folder as the script would, and says what it finds. Used by ``best_checkpoint.py`` and
its training script, which is why nothing heavy is imported here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from benchmarking.faults.checkpoint_seals import Identity, TornError, same, unsealed
from benchmarking.faults.checkpoint_torch_writers import Helpers, Torch
from benchmarking.faults.checkpoint_writer import Found, Writer


class Atomic(Writer):
    """Aside, then one rename."""

    is_atomic = True

    def save(self, folder: Path, identity: Identity) -> None:
        self._write(folder / "model.bin.new", identity)
        os.replace(folder / "model.bin.new", folder / "model.bin")

    def load(self, folder: Path) -> Identity | None:
        path = folder / "model.bin"
        return unsealed(path) if path.exists() else None


class InPlace(Writer):
    """The old checkpoint is truncated and written over."""

    def save(self, folder: Path, identity: Identity) -> None:
        self._write(folder / "model.bin", identity)

    def load(self, folder: Path) -> Identity | None:
        path = folder / "model.bin"
        return unsealed(path) if path.exists() else None


class Update(InPlace):
    """The bytes of the old checkpoint are changed one after the other, as where a file is mapped into memory."""

    def save(self, folder: Path, identity: Identity) -> None:
        path = folder / "model.bin"
        self._write(path, identity, "r+b" if path.exists() else "wb")


class Several(Writer):
    """Model, optimiser and a small state, each in a file of its own, in place."""

    _SHARES: ClassVar[dict[str, float]] = {"model.bin": 0.6, "optimizer.bin": 0.4, "state.json": 0.0}

    def save(self, folder: Path, identity: Identity) -> None:
        for name, share in self._SHARES.items():
            self._write(folder / name, replace(identity, role=name, size=int(share * identity.size)))

    def load(self, folder: Path) -> Identity | None:
        if not any((folder / name).exists() for name in self._SHARES):
            return None
        return same([unsealed(folder / name) for name in self._SHARES])


class Reopened(Several):
    """The same, as HDF5 and Keras do: each file is opened before it is replaced, and the model is written twice."""

    def save(self, folder: Path, identity: Identity) -> None:
        for name, share in self._SHARES.items():
            path = folder / name
            if path.exists():
                os.close(os.open(path, os.O_RDWR))
            part = replace(identity, role=name, size=int(share * identity.size))
            if name == "model.bin":
                self._write(path, replace(part, size=0))
            self._write(path, part, "r+b" if name == "model.bin" else "wb")


class OldTime(InPlace):
    """In place, and the file keeps its time, as if it was copied with it."""

    def save(self, folder: Path, identity: Identity) -> None:
        super().save(folder, identity)
        os.utime(folder / "model.bin", (1e9, 1e9))


class InTurn(Writer):
    """Two files in turn, and then which of them is the newest."""

    is_atomic = True

    def save(self, folder: Path, identity: Identity) -> None:
        path = folder / f"slot-{'ab'[identity.epoch % 2]}.bin"
        self._write(path, identity)
        (folder / "newest.new").write_text(path.name)
        os.replace(folder / "newest.new", folder / "newest")

    def load(self, folder: Path) -> Identity | None:
        newest = folder / "newest"
        return unsealed(folder / newest.read_text()) if newest.exists() else None


class SecondName(Writer):
    """A new file gets the name of the checkpoint as its second name, and loses the first one."""

    is_atomic = True

    def save(self, folder: Path, identity: Identity) -> None:
        path, aside = folder / f"step-{identity.epoch}.bin", folder / "model.tmp"
        self._write(path, identity)
        aside.unlink(missing_ok=True)
        os.link(path, aside)
        os.replace(aside, folder / "model.bin")
        path.unlink()

    def load(self, folder: Path) -> Identity | None:
        path = folder / "model.bin"
        return unsealed(path) if path.exists() else None


class OldOneFirst(Writer):
    """A model in place, and its state in a new file for each epoch, before which the old ones are removed."""

    def save(self, folder: Path, identity: Identity) -> None:
        for old in folder.glob("state-*.bin"):
            old.unlink()
        name = f"state-{identity.epoch:05d}.bin"
        self._write(folder / "model.bin", replace(identity, role="model", size=identity.size * 3 // 4))
        self._write(folder / name, replace(identity, role="state", size=identity.size // 4))

    def load(self, folder: Path) -> Identity | None:
        newest = max(folder.glob("state-*.bin"), default=None)
        if newest is None and not (folder / "model.bin").exists():
            return None
        if newest is None:
            raise TornError("the state of the model is missing")
        return same([unsealed(folder / "model.bin"), unsealed(newest)])


class RemovedFirst(Several):
    """The same, and all of them are removed before."""

    def save(self, folder: Path, identity: Identity) -> None:
        for name in self._SHARES:
            (folder / name).unlink(missing_ok=True)
        super().save(folder, identity)


class NewFile(Writer):
    """A new file for each epoch, under its name from the first byte on; then the old ones are removed."""

    def save(self, folder: Path, identity: Identity) -> None:
        path = folder / f"ckpt-{identity.epoch:05d}.bin"
        self._write(path, identity)
        for old in () if self.keeps_all else sorted(folder.glob("ckpt-*.bin")):
            if old != path:
                old.unlink()

    def load(self, folder: Path) -> Identity | None:
        newest = max(folder.glob("ckpt-*.bin"), default=None)
        return None if newest is None else unsealed(newest)


class NewFileKept(NewFile):
    """The same, and the old ones stay."""

    keeps_all = True


class LatestLink(Writer):
    """A new file for each epoch, and a symbolic link to the last one that was finished; the one before it is kept."""

    is_atomic = True

    def save(self, folder: Path, identity: Identity) -> None:
        name = f"ckpt-{identity.epoch:05d}-{identity.launch}.bin"
        self._write(folder / name, identity)
        before = os.readlink(folder / "latest") if (folder / "latest").is_symlink() else None
        aside = folder / "latest.new"
        aside.unlink(missing_ok=True)
        aside.symlink_to(name)
        os.replace(aside, folder / "latest")
        for old in folder.glob("ckpt-*.bin"):
            if old.name not in (name, before):
                old.unlink()

    def load(self, folder: Path) -> Identity | None:
        path = folder / "latest"
        return unsealed(path) if os.path.lexists(path) else None


class Folder(Writer):
    """A folder with sub-folders for each epoch, written aside and put in place by one rename; then the old ones go."""

    is_atomic = True
    _FILES: ClassVar[dict[str, float]] = {
        "model/shard-0.bin": 0.4, "model/shard-1.bin": 0.3, "optimizer/shard-0.bin": 0.3, "meta.json": 0.0,
    }  # fmt: skip

    def save(self, folder: Path, identity: Identity) -> None:
        aside = folder / f"tmp-checkpoint-{identity.epoch}"
        shutil.rmtree(aside, ignore_errors=True)
        self._fill(aside, identity)
        final = folder / f"checkpoint-{identity.epoch}"
        if final.exists():  # of a launch before this one, which has got as far
            shutil.rmtree(final)
        os.rename(aside, final)
        self._remove_others(folder, final)

    def load(self, folder: Path) -> Identity | None:
        newest = max(folder.glob("checkpoint-*"), key=_number, default=None)
        return None if newest is None else same([unsealed(newest / name) for name in self._FILES])

    def _fill(self, target: Path, identity: Identity) -> None:
        for name, share in self._FILES.items():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(path, replace(identity, role=name, size=int(share * identity.size)))

    def _remove_others(self, folder: Path, final: Path) -> None:
        for old in folder.glob("checkpoint-*"):
            if old != final:
                # By one rename, so that half of a folder is never found under this name.
                gone = folder / f"gone-{old.name}"
                shutil.rmtree(gone, ignore_errors=True)
                os.rename(old, gone)
                shutil.rmtree(gone)


class FolderInPlace(Folder):
    """The same, but written under its own name."""

    is_atomic = False

    def save(self, folder: Path, identity: Identity) -> None:
        final = folder / f"checkpoint-{identity.epoch}"
        self._fill(final, identity)
        self._remove_others(folder, final)


class FolderRemovedFirst(FolderInPlace):
    """A folder for each epoch, under its own name, before which the old ones are removed."""

    def save(self, folder: Path, identity: Identity) -> None:
        for old in folder.glob("checkpoint-*"):
            shutil.rmtree(old)
        self._fill(folder / f"checkpoint-{identity.epoch}", identity)


class RenamedOpen(Writer):
    """Aside, then a rename before the file is closed, as ``safetensors`` does, and then a second file in place."""

    def save(self, folder: Path, identity: Identity) -> None:
        aside = folder / f".tmp{identity.epoch % 7:06d}"
        model = replace(identity, size=identity.size * 3 // 4)
        self._write(aside, model, before_close=lambda: os.replace(aside, folder / "model.bin"))
        self._write(folder / "state.bin", replace(identity, role="state", size=identity.size // 4))

    def load(self, folder: Path) -> Identity | None:
        names = ("model.bin", "state.bin")
        if not any((folder / name).exists() for name in names):
            return None
        return same([unsealed(folder / name) for name in names])


class FolderRenamedOpen(Folder):
    """As :class:`Folder`, but its last file is closed after the rename."""

    def save(self, folder: Path, identity: Identity) -> None:
        aside, final = folder / f"tmp-checkpoint-{identity.epoch}", folder / f"checkpoint-{identity.epoch}"
        for old in (aside, final):
            shutil.rmtree(old, ignore_errors=True)
        self._fill(aside, identity)
        last = aside / next(reversed(self._FILES))
        last.unlink()
        role = replace(identity, role=last.name, size=0)
        self._write(last, role, before_close=lambda: os.rename(aside, final))
        self._remove_others(folder, final)


class Parts(Writer):
    """Parts with numbers, in place, and then an index."""

    _FILES: ClassVar[tuple[str, ...]] = ("model-1-of-3.bin", "model-2-of-3.bin", "model-3-of-3.bin", "index.bin")

    def save(self, folder: Path, identity: Identity) -> None:
        for name in self._FILES:
            self._write(folder / name, replace(identity, role=name, size=identity.size // len(self._FILES)))

    def load(self, folder: Path) -> Identity | None:
        if not any((folder / name).exists() for name in self._FILES):
            return None
        return same([unsealed(folder / name) for name in self._FILES])


def _number(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


WRITERS: dict[str, type[Writer]] = {
    "atomic": Atomic,
    "in-place": InPlace,
    "update": Update,
    "old-time": OldTime,
    "in-turn": InTurn,
    "second-name": SecondName,
    "old-one-first": OldOneFirst,
    "several": Several,
    "reopened": Reopened,
    "removed-first": RemovedFirst,
    "new-file": NewFile,
    "new-file-kept": NewFileKept,
    "latest-link": LatestLink,
    "folder": Folder,
    "folder-in-place": FolderInPlace,
    "folder-removed-first": FolderRemovedFirst,
    "renamed-open": RenamedOpen,
    "folder-renamed-open": FolderRenamedOpen,
    "parts": Parts,
    "torch": Torch,
    "helpers": Helpers,
}
#: Those that remove the old checkpoint before they write the new one.
REMOVED_FIRST = ("old-one-first", "removed-first", "folder-removed-first")
#: Those that need PyTorch, whose import takes a cold launch seconds.
HEAVY = ("torch", "helpers")


def inspect(writer: Writer, folder: Path, x: float | None = None) -> Found:
    """What a script with this writer finds in its folder.

    Parameters
    ----------
    x
        The trial that the folder belongs to, if known.
    """
    try:
        identity = writer.load(folder)
    except Exception as error:  # a script ends with whatever it is
        return Found("torn", why=f"{type(error).__name__}: {error}"[:300], print=fingerprint(folder))
    if identity is None:
        return Found("none")
    if x is not None and identity.x != x:
        return Found("foreign", identity.epoch, identity.launch, f"it is of x = {identity.x}")
    return Found("whole", identity.epoch, identity.launch)


def fingerprint(folder: Path) -> str:
    """Changes with the content of any file below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        try:
            content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:
            continue
        digest.update(f"{path.relative_to(folder)} {len(content)} {zlib.crc32(content)}\n".encode())
    return digest.hexdigest()[:16]
