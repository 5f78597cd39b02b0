"""Folders of files as values; copies and hard links of files."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from syne_hypersched.filenames import MANIFEST_FILENAME

_OF_ELASTIC_RUN = re.compile(r"checkpoint-\d{9}")
_OF_DATABASE = re.compile(r".-(journal|wal|shm)$")
_IN_ELASTIC_RUN = re.compile(r"(.*/)?checkpoint-\d{9}(?=/)")

#: The ``ioctl`` that copies a file by sharing its blocks (Btrfs, XFS, bcachefs, ZFS).
_FICLONE = 0x40049409
#: Number of bytes that are copied at once.
_PIECE_BYTES = 8 << 20
#: Errors of a hard link after which a copy may still succeed.
_NO_LINK = frozenset(
    {errno.EPERM, errno.EACCES, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}
)


class FileState(NamedTuple):
    """One entry of a folder. If two states of one path are equal, the content is the same; see :func:`read_present`."""

    kind: str
    """``"file"``, ``"folder"`` or ``"link"`` (symbolic, which is not followed)."""
    inode: int = 0
    size: int = 0
    mtime_ns: int = 0


#: Entries below a folder, by their path relative to it, with ``/`` between its parts, in sorted order.
Tree = dict[str, FileState]


def read_tree(folder: Path | str) -> Tree:
    """The entries below a folder; empty if it does not exist. Entries that vanish during the reading are left out."""
    found: Tree = {}
    _read_into(found, os.fspath(folder), "")
    return dict(sorted(found.items()))


def read_present(folder: str, changed: Collection[str], rewritten: Collection[str], *before: Tree) -> Tree:
    """The entries below a folder. The state of a file that was written again differs from its states before.

    A file that is written in place may keep its size and its time. The script may set the time or copy it from another
    file, or it may write twice within one tick of the file system's clock. Such a file gets a later time: one tick, or
    as many as are needed. So does a file that was put into place, since it may have the inode number of a removed file.
    But a file with several hard links that was only moved is the same file, and a generation may share it.

    Parameters
    ----------
    folder
        The folder.
    changed
        Paths that have changed since each ``before``.
    rewritten
        Those of them that were written to there.
    before
        The entries at earlier times.
    """
    tree = read_tree(folder)
    for _ in before:  # a later time may be that of another earlier state
        same = [path for path in changed if _is_as_before(path, tree, before)]
        again = [path for path in same if path in rewritten or not is_link(os.path.join(folder, path))]
        if not again:
            break
        for path in again:
            _move_time(os.path.join(folder, path))
        tree = read_tree(folder)
    return tree


def _is_as_before(path: str, tree: Tree, before: Collection[Tree]) -> bool:
    return path in tree and tree[path].kind == "file" and any(tree[path] == earlier.get(path) for earlier in before)


def _move_time(place: str) -> None:
    with contextlib.suppress(OSError):  # the file belongs to another user, or is gone
        status = os.stat(place)
        os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        if os.stat(place).st_mtime_ns == status.st_mtime_ns:  # the file system counts in seconds
            os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns + 2_000_000_000))


def _read_into(found: Tree, folder: str, prefix: str) -> None:
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        path = f"{prefix}{entry.name}"
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(status.st_mode):
            # The inode number and times of a folder are left out, because its entries are listed.
            found[path] = FileState("folder")
            _read_into(found, entry.path, f"{path}/")
        elif stat.S_ISLNK(status.st_mode):
            found[path] = FileState("link", status.st_ino, status.st_size, status.st_mtime_ns)
        elif stat.S_ISREG(status.st_mode):
            found[path] = FileState("file", status.st_ino, status.st_size, status.st_mtime_ns)


def is_empty_file(path: str) -> bool:
    """Whether a file exists and is empty."""
    try:
        return os.path.getsize(path) == 0
    except OSError:
        return False


def is_mark(folder: str, path: str, is_written: bool) -> bool:
    """Whether a closed file of a folder is not by itself a part of a checkpoint.

    Such a file is empty and nothing was written to it, or a database (SQLite) needs it during a transaction.
    """
    return _OF_DATABASE.search(path) is not None or (not is_written and is_empty_file(os.path.join(folder, path)))


def is_of_reader(path: str, state: FileState, tree: Collection[str]) -> bool:
    """Whether an entry of a folder holds no data and may have been made by a reader of a database there (SQLite).

    When a database with a write-ahead log is read, an empty log and its index (``-shm``) are made.
    """
    journal = _OF_DATABASE.search(path)
    if journal is None or state.kind != "file" or path[: journal.start() + 1] not in tree:
        return False
    return journal[1] == "shm" or not state.size


def have_holes(folder: str, paths: Collection[str]) -> bool:
    """Whether some files of a folder are gone, or have regions that were never written."""
    try:
        found = [os.stat(os.path.join(folder, path)) for path in paths]
    except OSError:
        return True
    return any(status.st_blocks * 512 < status.st_size for status in found)


def is_link(path: str) -> bool:
    """Whether an entry is a symbolic link or one of several hard links: it is made at once and never closed."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISLNK(status.st_mode) or status.st_nlink > 1


def is_other(path: str) -> bool:
    """Whether an entry is neither a file nor a folder nor a symbolic link: a pipe, a socket or a device."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))


def linked(folder: str, path: str) -> frozenset[str]:
    """Files at or below a path in a folder that have another hard link, relative to the folder."""
    top = os.path.join(folder, path)
    places = [top, *(os.path.join(parent, name) for parent, _, names in os.walk(top) for name in names)]
    return frozenset(os.path.relpath(place, folder) for place in places if _has_names(place))


def come(folder: str, path: str) -> tuple[Tree, frozenset[str]]:
    """The entries below a path that was moved into place, named as in :func:`read_tree`, and :func:`linked` files."""
    found: Tree = {}
    place = os.path.join(folder, path)
    if not os.path.islink(place):
        _read_into(found, place, f"{path}/")
    return found, linked(folder, path)


def _has_names(path: str) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink > 1


def is_in(path: str, other: str) -> bool:
    """Whether a path is equal to another one, or lies below it."""
    return f"{path}/".startswith(f"{other}/")


def num_bytes(tree: Mapping[str, FileState]) -> int:
    """Total number of bytes in the files of a tree."""
    return sum(sizes_of(tree).values())


def sizes_of(tree: Mapping[str, FileState]) -> dict[str, int]:
    """Number of bytes of each file of a tree."""
    return {path: state.size for path, state in tree.items() if state.kind == "file"}


def _go_on(num_bytes: int) -> None:
    """Never interrupts a copy."""


def copy_file(source: str, target: str, go_on: Callable[[int], None] = _go_on) -> int:
    """Copies a file with its mode and times. Shares its blocks if the file system can.

    Parameters
    ----------
    source, target
        The file, and the path of the copy.
    go_on
        Called after each piece with its number of bytes. If it raises an error, the copying stops.

    Returns
    -------
    int
        Number of bytes copied; 0 if the blocks are shared.

    Raises
    ------
    OSError
        The file is gone, or cannot be written.
    """
    copied = 0
    with open(source, "rb") as reader, open(target, "xb") as writer:
        try:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
        except OSError:
            if not _copy_in_kernel(reader.fileno(), writer.fileno(), go_on):
                os.lseek(reader.fileno(), 0, os.SEEK_SET)  # the buffered reader has read nothing yet
                while piece := reader.read(_PIECE_BYTES):
                    writer.write(piece)
                    go_on(len(piece))
            copied = os.fstat(writer.fileno()).st_size
    shutil.copystat(source, target)
    return copied


def _copy_in_kernel(source: int, target: int, go_on: Callable[[int], None]) -> bool:
    """Copies within the kernel, and keeps holes. Returns False if the kernel cannot copy and nothing was copied."""
    size, copied = os.fstat(source).st_size, 0
    try:
        for begin, end in _data(source, size):
            while begin < end:
                count = os.copy_file_range(source, target, min(end - begin, _PIECE_BYTES), begin, begin)
                if not count:
                    break
                begin += count
                copied += count
                go_on(count)
            if begin < end:
                # Some file systems (/proc, old network file systems) copy nothing and raise no error. Or it was cut.
                return copied > 0
    except OSError as error:
        if copied or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        return False
    os.truncate(target, size)
    return True


def _data(file: int, size: int) -> Iterator[tuple[int, int]]:
    """Yields where each region of data begins and ends. Between them are holes, which use no disk and read as zeros."""
    end = 0
    while end < size:
        try:
            begin = os.lseek(file, end, os.SEEK_DATA)
            end = os.lseek(file, begin, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # only a hole follows, up to the end
            raise
        yield begin, end


def link_file(source: str, target: str) -> int:
    """Makes a hard link to a file, or a copy if the file system does not allow a hard link.

    Returns
    -------
    int
        Number of bytes copied.

    Raises
    ------
    OSError
        The file is gone, or cannot be written.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        return copy_file(source, target)
    return 0


def place_tree(
    tree: Mapping[str, FileState],
    target: Path | str,
    source: Callable[[str], str],
    is_linked: Callable[[str], bool],
    go_on: Callable[[int], None] = _go_on,
) -> int:
    """Makes a folder with the entries of a tree.

    Parameters
    ----------
    tree
        The entries.
    target
        The folder, which must not exist.
    source
        Returns the present place of an entry, given its path in the tree.
    is_linked
        Returns whether a file gets a hard link, where possible, instead of a copy.
    go_on
        Called after each piece with its number of bytes. If it raises an error, the work stops.

    Returns
    -------
    int
        Number of bytes copied.

    Raises
    ------
    OSError
        An entry is gone, or cannot be written.
    """
    os.makedirs(target, mode=0o700)
    copied = 0
    # Hard links come first, since their files may be removed or replaced meanwhile.
    is_copied = {path: state.kind == "file" and not is_linked(path) for path, state in tree.items()}
    for path, state in sorted(tree.items(), key=lambda entry: is_copied[entry[0]]):
        here = os.path.join(target, path)
        if state.kind == "folder":
            os.mkdir(here)
        elif state.kind == "link":
            os.symlink(_target_of(source(path), path), here)
        else:
            copied += copy_file(source(path), here, go_on) if is_copied[path] else link_file(source(path), here)
    return copied


def are_links_replaced(folder: Path | str, tree: Mapping[str, FileState]) -> bool:
    """Whether a symbolic link of a folder differs from the one in the tree."""
    links = {path: state for path, state in tree.items() if state.kind == "link"}
    try:
        found = {path: os.lstat(os.path.join(folder, path)) for path in links}
    except OSError:
        return True
    return any(
        (found[path].st_ino, found[path].st_mtime_ns) != (state.inode, state.mtime_ns) for path, state in links.items()
    )


def _target_of(link: str, path: str) -> str:
    """The target of a symbolic link, valid in any copy of the folder in which the link is the entry ``path``."""
    target, parts = os.readlink(link), path.split("/")
    if not os.path.isabs(target):
        return target
    # A path is compared as it is written, since the links in it may lead elsewhere by now.
    folder = os.path.abspath(os.path.join(link, *[os.pardir] * len(parts)))
    for root in dict.fromkeys((folder, os.path.realpath(folder))):
        if is_in(os.path.normpath(target), root):
            return os.path.relpath(os.path.normpath(target), os.path.join(root, *parts[:-1]))
    return target


def is_of_elastic_run(folder: str, path: str) -> bool:
    """Whether a path is a checkpoint of ``syne_hypersched.training``, which always saves before it reports."""
    return bool(_OF_ELASTIC_RUN.fullmatch(path)) and os.path.exists(os.path.join(folder, path, MANIFEST_FILENAME))


def are_of_elastic_run(tree: Tree) -> bool:
    """Whether all files are in checkpoints of ``syne_hypersched.training``, each of which was moved into place whole.

    A run may write any number of checkpoints between two reports, so the number of its checkpoints tells nothing.
    """
    files = [path for path, state in tree.items() if state.kind != "folder"]
    found = [_IN_ELASTIC_RUN.match(path) for path in files]
    return bool(files) and all(match and f"{match[0]}/{MANIFEST_FILENAME}" in tree for match in found)
