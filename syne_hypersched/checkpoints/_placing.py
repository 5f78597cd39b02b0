"""Puts ``best/`` in place and sets it aside. Files that a user has made there are never removed.

``best`` is a symbolic link to a folder beside it, so one rename replaces it. On a file system without symbolic links it
is a folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import time
from pathlib import Path

from syne_hypersched._json_files import read_object
from syne_hypersched.filenames import BEST_DIRNAME, RESULT_FILENAME

ST_CHECKPOINT = "st_checkpoint"
"""Key in ``best/result.json``: the report that the checkpoint belongs to (``level``, ``launch``), the ``generation``,
and how certain this is: ``match`` is ``"exact"``, or the number of reports by which the checkpoint may be newer than
the result. The number of files, their bytes, and a ``fingerprint`` of both show changes. Null: no checkpoint."""

#: Names of folders and links that this module makes, with the id of the process that made them.
_OWN = re.compile(rf"\.{BEST_DIRNAME}-(\d+)-\d+(\.link|\.old)?")
#: Errors of a file system without symbolic links.
_NO_SYMLINK = frozenset({errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})


def new_folder(folder: Path) -> Path:
    """Makes an empty folder that will become ``folder/best``.

    Raises
    ------
    OSError
        The folder cannot be made.
    """
    new = folder / f".{BEST_DIRNAME}-{os.getpid()}-{time.monotonic_ns()}"
    new.mkdir(mode=0o700)
    return new


def put_in_place(new: Path, is_kept: bool = False) -> None:
    """Makes a folder from :func:`new_folder` the new ``best``, and removes the previous one.

    A folder or link that a user has put there is renamed to ``best-before``.

    Parameters
    ----------
    new
        The folder.
    is_kept
        Whether the previous ``best`` is renamed to ``best-before``, too.

    Raises
    ------
    OSError
        The folder cannot be put there.
    """
    best, link = new.with_name(BEST_DIRNAME), new.with_name(f"{new.name}.link")
    try:
        link.symlink_to(new.name)
    except OSError as error:
        if error.errno not in _NO_SYMLINK:
            raise
        _rename(new, best, is_kept)
    else:
        try:
            if is_kept or _own_folder(best) is None:
                set_aside(new.parent)
            os.replace(link, best)
        except BaseException:
            link.unlink(missing_ok=True)
            raise
    _remove_old(new)


def _rename(new: Path, best: Path, is_kept: bool) -> None:
    """Puts a folder in place without a link. For a moment, a reader may find no folder."""
    old = new.with_name(f"{new.name}.old")
    is_own = not is_kept and not best.is_symlink() and ST_CHECKPOINT in (read_object(best / RESULT_FILENAME) or {})
    if is_own:
        os.rename(best, old)
    else:
        set_aside(new.parent)
    try:
        os.rename(new, best)
    except BaseException:
        if is_own:
            os.rename(old, best)
        raise


def set_aside(folder: Path) -> None:
    """Renames a ``best`` of an earlier experiment of the same name, or of a user, to ``best-before``.

    It is a symbolic link, or a folder if a program that follows links has copied the experiment.
    """
    best, before = folder / BEST_DIRNAME, folder / f"{BEST_DIRNAME}-before"
    if not os.path.lexists(best):
        return
    if before.is_symlink():
        own = _own_folder(before)
        if own is not None and own != _own_folder(best):
            shutil.rmtree(own, ignore_errors=True)
        before.unlink()
    elif before.is_dir():
        shutil.rmtree(before)
    else:
        before.unlink(missing_ok=True)
    os.replace(best, before)


def _own_folder(link: Path) -> Path | None:
    """The folder that a link points to, if this module made it; None if there is no link, or a user made it."""
    try:
        target = os.readlink(link)
    except OSError:
        return None
    return link.with_name(target) if _OWN.fullmatch(target) else None


def _remove_old(new: Path) -> None:
    """Removes folders made by this module, even by a process that has died, if no link points to them any more."""
    with os.scandir(new.parent) as entries:
        found = [Path(entry.path) for entry in entries]
    used = {new.name}
    for path in found:
        with contextlib.suppress(OSError):  # not a link
            used.add(os.path.basename(os.readlink(path)))
    for path in found:
        made = _OWN.fullmatch(path.name)
        if made is None or path.name in used or not _has_ended(int(made[1])):
            continue
        if path.is_symlink():
            path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _has_ended(pid: int) -> bool:
    """Whether a process makes nothing here now: it is this process, or is gone."""
    if pid == os.getpid():
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False
