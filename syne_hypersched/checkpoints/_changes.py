"""The events of a checkpoint folder and of its log, in the order in which they happened."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Collection, Sequence
from functools import cache

from syne_hypersched.checkpoints import _inotify as inotify
from syne_hypersched.checkpoints._change import Change, as_linked, without_ends, without_known
from syne_hypersched.checkpoints._files import is_empty_file, is_in, is_link, is_other
from syne_hypersched.checkpoints._inotify import Inotify
from syne_hypersched.checkpoints._leases import is_being_written

_IN_FOLDER = (
    inotify.CREATE | inotify.MODIFY | inotify.CLOSE_WRITE | inotify.MOVED_FROM | inotify.MOVED_TO | inotify.DELETE
    | inotify.DONT_FOLLOW | inotify.ONLYDIR
)  # fmt: skip
_NO_NAME = re.compile(r"#(\d+)")
_IN_PARENT = inotify.CREATE | inotify.MOVED_TO | inotify.MOVED_FROM | inotify.DELETE | inotify.ONLYDIR


def _is_exchange(events: Sequence[inotify.InotifyEvent]) -> bool:
    """Whether the first four events come from ``renameat2`` with ``RENAME_EXCHANGE`` (``mv --exchange``)."""
    if len(events) < 4:
        return False
    places = [(event.watch, event.name) for event in events[:4]]
    masks = [event.mask & (inotify.MOVED_FROM | inotify.MOVED_TO) for event in events[:4]]
    is_twice = masks == [inotify.MOVED_FROM, inotify.MOVED_TO, inotify.MOVED_FROM, inotify.MOVED_TO]
    return is_twice and places[0] == places[3] and places[1] == places[2] and events[0].cookie == events[1].cookie


def _has_come_whole(path: str) -> bool:
    """Whether a new file has content and no process writes to it. Then it is a second name of an existing file.

    The kernel reports the new name before it reports later writes. So call this function before the next events are
    read.
    """
    return not is_empty_file(path) and os.path.isfile(path) and not is_being_written(path)


def _is_other(entry: os.DirEntry[str]) -> bool:
    """The same as :func:`is_other`, without a system call."""
    return not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False) or entry.is_symlink())


class ChangeWatch:
    """Watches a checkpoint folder, all folders in it, and a log. The checkpoint folder need not exist yet.

    Parameters
    ----------
    folder, log
        The folder and the log. The parent of the folder must exist.

    Raises
    ------
    OSError
        The kernel refuses another watch.

    Attributes
    ----------
    open_files
        Returns the files that are open for writing (absolute paths without symbolic links). Called where the kernel
        does not tell whether a file is open, since the file system has no leases.
    """

    def __init__(self, folder: str, log: str) -> None:
        self.open_files: Callable[[], Collection[str]] = frozenset
        self._folder = folder
        self._name = os.path.basename(folder)
        self._inotify = Inotify()
        #: Path of each watched folder, relative to the checkpoint folder; None: the parent of the checkpoint folder.
        self._paths: dict[int, str | None] = {}
        #: Folders that were moved away, by the cookie of the move, with the path of each inside the moved folder.
        self._leaving: dict[int, dict[int, str]] = {}
        #: Files that are being written, and those of them that were removed: later changes of these are ignored.
        self._begun: set[str] = set()
        self._unlinked: set[str] = set()
        #: Files that were made, but neither written to nor closed yet.
        self._fresh: set[str] = set()
        #: Pipes, sockets and devices.
        self._others: set[str] = set()
        try:
            os.close(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._log_watch = self._inotify.add(log, inotify.MODIFY)
            self._paths[self._inotify.add(os.path.dirname(folder), _IN_PARENT)] = None
            self._add("")
        except BaseException:
            self._inotify.close()
            raise

    @property
    def fd(self) -> int:
        """File descriptor that is readable when there are new events."""
        return self._inotify.fd

    def read(self) -> list[Change | None]:
        """The changes since the last call, in order; ``None`` stands for an addition to the log."""
        found = self._read_all()
        # A file may have received its second name after it was written.
        written = {change.path for change in found if change is not None and change.kind in ("written", "closed")}
        created = {change.path for change in found if change is not None and change.kind == "created"} - written
        links = {path for path in created if is_link(os.path.join(self._folder, path))}
        come = {path for path in created - links if _has_come_whole(os.path.join(self._folder, path))}
        empty = {change.path for change in found if change is not None and change.is_empty}
        filled = {path for path in empty if not is_empty_file(os.path.join(self._folder, path))}
        if come or filled:
            more = self._read_all()
            come -= {change.path for change in more if change is not None}  # a process does write to it
            found += more
        return without_ends([as_linked(change, links | come) for change in found], filled)

    def _read_all(self) -> list[Change | None]:
        """The next changes, and those that came while found files were examined."""
        found, num_read = self._read(), 0
        while any(change is not None and change.kind == "lost" for change in found[num_read:]):
            num_read = len(found)
            found += self._read()
        return without_known(found) if num_read else found

    def _read(self) -> list[Change | None]:
        found: list[Change | None] = []
        events = self._inotify.read()
        if events and events[-1].mask & inotify.MOVED_TO:
            events += self._inotify.read()  # the second half of an exchange
        events.reverse()
        while events:
            event = events.pop()
            if _is_exchange([event, *events[:-4:-1]]) and self._exists(events[-1]):
                found += self._exchange(event, *(events.pop() for _ in range(3)))
            elif event.mask & inotify.Q_OVERFLOW:
                self._renew()
                found += [*self._found(""), Change("lost"), None]
            elif event.watch == self._log_watch:
                if not found or found[-1] is not None:
                    found.append(None)
            elif event.mask & inotify.IGNORED:
                self._paths.pop(event.watch, None)
            elif event.watch in self._paths:
                found += self._in_folder(event)
        for folders in self._leaving.values():  # these left the checkpoint folder
            for watch in folders:
                self._inotify.remove(watch)
        self._leaving.clear()
        return found

    def _in_folder(self, event: inotify.InotifyEvent) -> list[Change]:
        parent = self._paths[event.watch]
        if parent is None:
            return self._in_parent(event)
        path = f"{parent}{event.name}"
        is_folder = bool(event.mask & inotify.ISDIR)
        if event.mask & inotify.CREATE and is_folder:
            return self._enter(f"{path}/")
        if event.mask & inotify.MOVED_TO:
            self._others.discard(path)
            if is_folder:
                for watch, below in self._leaving.pop(event.cookie, {}).items():
                    self._paths[watch] = f"{path}/{below}"
                self._add(f"{path}/")
            return [Change("moved", path)]
        if event.mask & inotify.MOVED_FROM:
            self._begun = {file for file in self._begun if not is_in(file, path)}
            if is_folder:
                self._leave(event.cookie, f"{path}/")
            return [Change("moved away", path, is_folder=is_folder)]
        if event.mask & inotify.DELETE:
            self._unlinked |= self._begun & {path}
            self._fresh.discard(path)
            return [Change("removed", path)]
        if is_folder or not (event.name and self._is_file(path, is_new=bool(event.mask & inotify.CREATE))):
            return []  # the time of a folder was set, or the entry holds no data
        if event.mask & inotify.CREATE:
            self._unlinked.discard(path)
            self._begun.add(path)
            self._fresh.add(path)
            return [Change("created", path)]
        named = self._named(path)
        return [] if named is None else self._in_file(named, is_closed=bool(event.mask & inotify.CLOSE_WRITE))

    def _is_file(self, path: str, is_new: bool) -> bool:
        """Whether an entry is a file or link, and not a pipe, socket or device. The kernel is asked when it is new."""
        if is_new:
            (self._others.add if is_other(os.path.join(self._folder, path)) else self._others.discard)(path)
        return path not in self._others

    def _exists(self, event: inotify.InotifyEvent) -> bool:
        """Whether there is an entry now where one came. After a move and a move back, there is none."""
        parent = self._paths.get(event.watch)
        return parent is not None and os.path.lexists(os.path.join(self._folder, f"{parent}{event.name}"))

    def _exchange(
        self, left: inotify.InotifyEvent, came: inotify.InotifyEvent, _: object, last: inotify.InotifyEvent
    ) -> list[Change]:
        """Handles two entries that have exchanged their places, as if the old one had been removed first.

        The entry at the other place is now the previous checkpoint, and causes no change.
        """
        old = f"{self._paths.get(came.watch) or ''}{came.name}"
        self._leave(came.cookie, f"{old}/")
        del self._leaving[came.cookie]
        changes = [Change("removed", old), *self._in_folder(left), *self._in_folder(came)]
        if last.mask & inotify.ISDIR:
            self._add(f"{self._paths.get(last.watch) or ''}{last.name}/")
        return changes

    def _named(self, path: str) -> str | None:
        """The name of a file that was made without a name and is reported by its inode; None: it has no name."""
        number = _NO_NAME.fullmatch(os.path.basename(path))
        if number is None or os.path.lexists(os.path.join(self._folder, path)):
            return path
        for other in self._begun:
            with contextlib.suppress(OSError):
                if os.lstat(os.path.join(self._folder, other)).st_ino == int(number[1]):
                    return other
        return None

    def _in_file(self, path: str, is_closed: bool) -> list[Change]:
        is_unlinked = path in self._unlinked
        is_empty = path in self._fresh
        self._fresh.discard(path)
        if is_closed:
            self._begun.discard(path)
            self._unlinked.discard(path)
        else:
            self._begun.add(path)
        change = Change("closed", path, is_empty) if is_closed else Change("written", path)
        return [] if is_unlinked else [change]

    def _in_parent(self, event: inotify.InotifyEvent) -> list[Change]:
        if event.name != self._name:
            return []
        self._renew()
        if event.mask & inotify.MOVED_TO:
            return [Change("moved", path) for path in self._files("")]
        return self._enter("") if event.mask & inotify.CREATE else [Change("removed")]

    def _enter(self, path: str) -> list[Change]:
        """Handles a new folder: files written before the folder was watched caused no events."""
        self._add(path)
        return self._found(path) or ([Change("made", path.rstrip("/"))] if path else [])

    def _found(self, path: str) -> list[Change]:
        """The files below a folder that is watched from now on, and whether each is finished.

        The kernel reports the closing of a file before it grants a lease on it. So if a file has a lease, it was closed
        before the watch began, or its closing is among the next events (:func:`without_known`).
        """
        changes, open_files = [], cache(self.open_files)
        for file in self._files(path):
            self._unlinked.discard(file)
            place = os.path.join(self._folder, file)
            # A process may write to a link under another name. Its closing is then reported there.
            if not is_link(place) and is_being_written(place, lambda at: os.path.realpath(at) in open_files()):
                self._begun.add(file)
                if is_empty_file(place):
                    self._fresh.add(file)
                changes.append(Change("created" if file in self._fresh else "written", file))
            elif not is_empty_file(place):  # an empty one has perhaps its name already, and will be open in a moment
                changes.append(Change("lost", file))
        return changes

    def _files(self, path: str) -> list[str]:
        """All files and links below a folder, in the order in which they were last written to."""
        files: list[tuple[int, str]] = []
        with contextlib.suppress(OSError), os.scandir(os.path.join(self._folder, path)) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # the entry is gone again
                    if entry.is_dir(follow_symlinks=False):
                        files += [(self._written_ns(file), file) for file in self._files(f"{path}{entry.name}/")]
                    elif f"{path}{entry.name}" not in self._others:
                        files.append((entry.stat(follow_symlinks=False).st_mtime_ns, f"{path}{entry.name}"))
        return [file for _, file in sorted(files)]

    def written_s(self, path: str) -> float:
        """When an entry of the folder was last written to (seconds since the epoch); 0 if the entry is gone."""
        status = self._status(path)
        return 0.0 if status is None else status.st_mtime

    def changed_at(self, path: str) -> float:
        """When an entry last changed (seconds since the epoch); 0 if it is gone. No script can set this time."""
        status = self._status(path)
        return 0.0 if status is None else status.st_ctime

    def _status(self, path: str) -> os.stat_result | None:
        try:
            return os.lstat(os.path.join(self._folder, path))
        except OSError:
            return None

    def _written_ns(self, path: str) -> int:
        return os.lstat(os.path.join(self._folder, path)).st_mtime_ns

    def _leave(self, cookie: int, path: str) -> None:
        """Handles a folder that was moved away, either within the watched folder or out of it."""
        leaving = self._leaving[cookie] = {}
        for watch, other in list(self._paths.items()):
            if other is not None and other.startswith(path):
                leaving[watch] = other[len(path) :]
                del self._paths[watch]

    def _renew(self) -> None:
        """Watches the present folder, and stops watching earlier folders of the same name."""
        self._unlinked.clear()
        before = {watch for watch, path in self._paths.items() if path is not None}
        for watch in before - self._add(""):
            self._inotify.remove(watch)
            del self._paths[watch]

    def _add(self, path: str) -> set[int]:
        """Watches a folder and all folders in it. Returns the watches, which may be none."""
        folder, watches = os.path.join(self._folder, path), set()
        try:
            watch = self._inotify.add(folder, _IN_FOLDER)
            self._paths[watch] = path
            watches.add(watch)
            with os.scandir(folder) as found:
                entries = list(found)
            below = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
            self._others |= {f"{path}{entry.name}" for entry in entries if _is_other(entry)}
            for name in below:
                watches |= self._add(f"{path}{name}/")
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise  # a change that is not seen may be half of a checkpoint
        return watches

    def close(self) -> None:
        """Ends the watch."""
        self._inotify.close()
