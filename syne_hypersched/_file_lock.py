"""A lock on a file, which is released when the process that holds it ends for any reason.

It is a ``flock`` lock of the kernel, for these reasons:

- *A killed holder.* The kernel releases the lock when the last descriptor of the file is closed, even after SIGKILL. If
  the existence of a file were the lock (``filelock.SoftFileLock``, ``os.link``), the file would remain, and it would be
  unknown whether the holder is alive: a process id has no meaning on another machine.
- *A fork.* A child inherits the descriptor, and would keep the lock after its parent is killed. So descriptors are
  closed on exec, and a child of ``os.fork`` first closes its copies (:func:`os.register_at_fork`); the parent keeps its
  lock. Locks of ``fcntl`` are not inherited, but a process loses them whenever it closes any descriptor of the file,
  for example after reading it.
- *NFS.* Since 2.6.12, Linux implements ``flock`` on NFS by locks of the server. So processes on several machines
  exclude each other, and the server releases the locks of a machine that has died. This requires that the file is open
  for writing, which it is. With the mount options ``nolock`` or ``local_lock=flock``, locks work only within one
  machine.
- *No library.* ``filelock.FileLock`` uses ``flock`` as well. It has no shared locks, does not write the holder into the
  file, and forks keep its locks. So it would add a dependency but no safety.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import weakref
from pathlib import Path

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class FileLock:
    """A file that can be locked.

    .. code-block:: python

        lock = FileLock("lock")
        if lock.acquire():
            lock.write(f"process {os.getpid()}")
        else:
            print("held by", lock.read())
            lock.close()

    Parameters
    ----------
    path
        The file. It is created if it does not exist, readable only by the user. A symbolic link is not followed.
    folder
        Descriptor of the folder to which ``path`` is relative; None: the working directory.

    Raises
    ------
    OSError
        The file cannot be opened.
    """

    def __init__(self, path: str | Path, folder: int | None = None) -> None:
        self._path = path
        self._fd: int | None = os.open(path, _FLAGS, 0o600, dir_fd=folder)
        _open.add(self)

    @property
    def is_open(self) -> bool:
        """Whether the file is open. It is closed after :meth:`close`, and in a forked child."""
        return self._fd is not None

    @property
    def fd(self) -> int:
        """The descriptor of the file.

        Raises
        ------
        ValueError
            The file is closed.
        """
        if self._fd is None:
            raise ValueError(f"the lock {self._path} must be open, but is closed")
        return self._fd

    def acquire(self, shared: bool = False) -> bool:
        """Tries to take the lock, without waiting. Returns False if another process holds it.

        Parameters
        ----------
        shared
            Whether other processes with ``shared=True`` may hold the lock at the same time.

        Raises
        ------
        OSError
            The file system does not support locks.
        """
        try:
            fcntl.flock(self.fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise
            raise OSError(
                error.errno,
                f"{error.strerror}: {self._path} must be on a file system with locks. On NFS, the lock service of the "
                "server must run, and the mount must not have the option 'nolock'",
            ) from error
        return True

    def read(self) -> str:
        """The text in the file."""
        return os.pread(self.fd, 1000, 0).decode(errors="replace")

    def write(self, text: str) -> int:
        """Replaces the text in the file; returns its length in bytes."""
        os.ftruncate(self.fd, 0)
        return os.pwrite(self.fd, text.encode(errors="replace"), 0)

    def close(self) -> None:
        """Releases the lock if it is held, and closes the file. A second call does nothing."""
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            self.close()


#: All locks of this process. A forked child closes them.
_open: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _close_in_child() -> None:
    for lock in list(_open):
        lock.close()


os.register_at_fork(after_in_child=_close_in_child)
