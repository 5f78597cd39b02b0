"""A lock on a file that is released when the process that holds it ends, for any reason.

Locks are ``flock`` locks of the kernel, for these reasons:

- *A killed holder.* The kernel releases the lock when the last descriptor of the file is closed, also after SIGKILL. If
  the existence of a file were the lock (``filelock.SoftFileLock``, ``os.link``), it would stay, and nobody could say
  whether its holder lives: a process id says nothing on another machine.
- *A fork.* A child inherits the descriptor, and would keep the lock when its parent is killed. So descriptors close on
  exec, and a child of ``os.fork`` first closes its copies (:func:`os.register_at_fork`); the lock of the parent
  stays. Locks of ``fcntl`` are not inherited, but a process loses them whenever it closes any descriptor of the file,
  for example after reading it.
- *NFS.* Since 2.6.12, Linux implements ``flock`` on NFS by locks of the server. So processes on several machines
  exclude each other, and the server releases the locks of a machine that has died. The file must be open for writing
  for this, which it is. With the mount options ``nolock`` or ``local_lock=flock``, locks work within one machine only.
- *A library.* ``filelock.FileLock`` uses ``flock`` as well. It has no shared locks, does not write the holder into the
  file, and forks keep its locks. So it would add a dependency and no safety.
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
        """Whether the file is open. It is not after :meth:`close`, and not in a forked child."""
        return self._fd is not None

    @property
    def fd(self) -> int:
        """The descriptor of the file.

        Raises
        ------
        ValueError
            It is closed.
        """
        if self._fd is None:
            raise ValueError(f"the lock {self._path} must be open, but is closed")
        return self._fd

    def acquire(self, shared: bool = False) -> bool:
        """Takes the lock unless another process has it; does not wait. Returns whether it was taken.

        Parameters
        ----------
        shared
            Whether other processes with ``shared=True`` may hold it at the same time.

        Raises
        ------
        OSError
            The file system has no locks.
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
                f"{error.strerror}: {self._path} must be on a file system with locks. On NFS the lock service of the "
                "server must run, and the mount must not say 'nolock'",
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
        """Releases the lock, if it is held, and closes the file. A second call does nothing."""
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
