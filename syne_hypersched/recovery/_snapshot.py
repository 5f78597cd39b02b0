"""Snapshots of a scheduler, so that a resume need not replay a long journal from its beginning.

Snapshots only save time. Without a usable snapshot, the whole journal is replayed.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import pickle
import zlib
from dataclasses import dataclass
from typing import Any

from syne_hypersched._disk import Disk
from syne_hypersched._version import __version__
from syne_hypersched.filenames import SNAPSHOT_FILENAME
from syne_hypersched.records.segments import Entry

FORMAT = 1
"""Version of a snapshot's format."""

#: Modules whose classes a snapshot may contain. Loading an object of these classes only sets its state.
_MODULES = (
    "syne_hypersched.allocation",
    "syne_hypersched.recovery._ticks",
    "syne_hypersched.rungs",
    "syne_hypersched.schedulers",
    "syne_hypersched._sorted_floats",
    "syne_tune.config_space",
    "syne_tune.optimizer",
    "collections",
    "sortedcontainers",
)
#: Other parts of a scheduler's state: NumPy's arrays and random generators.
_NAMES = frozenset(
    {
        ("array", "array"),
        ("array", "_array_reconstructor"),
        ("builtins", "bytearray"),
        ("builtins", "dict"),
        ("builtins", "frozenset"),
        ("builtins", "list"),
        ("builtins", "set"),
        ("builtins", "tuple"),
        ("functools", "partial"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy.core.numeric", "_frombuffer"),
        ("numpy.random._pickle", "__randomstate_ctor"),
        ("numpy.random._pickle", "__generator_ctor"),
        ("numpy.random._pickle", "__bit_generator_ctor"),
        ("numpy.random._mt19937", "MT19937"),
        ("numpy.random._pcg64", "PCG64"),
        (__name__, "left_out"),
    }
)
#: Models of other libraries that a searcher fits again before it uses them: left out, and None in the snapshot.
_REFITTED = frozenset({("statsmodels.nonparametric.kernel_density", "KDEMultivariate")})


class UnusableSnapshotError(ValueError):
    """A snapshot is incomplete, has another format, or contains a class that must not be loaded."""


@dataclass(frozen=True)
class Snapshot:
    """A scheduler after some entries of the journal."""

    num_entries: int
    """How many."""

    scheduler: Any
    """The scheduler."""


def dump_snapshot(snapshot: Snapshot) -> bytes:
    """The bytes of a snapshot: a line of JSON, then the scheduler, pickled and compressed.

    Raises
    ------
    Exception
        Any exception of an object that cannot be pickled.
    """
    pickled = io.BytesIO()
    _SnapshotPickler(pickled, protocol=5).dump(snapshot.scheduler)
    content = zlib.compress(pickled.getvalue(), 1)
    header = {
        "format": FORMAT,
        "version": __version__,
        "num_entries": snapshot.num_entries,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return json.dumps(header).encode() + b"\n" + content


def write_snapshot(folder: str, content: bytes, disk: Disk) -> None:
    """Replaces the snapshot atomically: a reader sees the old or the new one."""
    new, path = f"{folder}/{SNAPSHOT_FILENAME}.new", f"{folder}/{SNAPSHOT_FILENAME}"
    disk.remove(new)
    with disk.create(new) as file:
        file.write(content)
    disk.sync_file(new)
    disk.rename(new, path)
    disk.sync_folder(folder)


def read_snapshot(folder: str, disk: Disk) -> Snapshot | None:
    """The snapshot in a journal's folder, None if there is none.

    Loading it only creates the objects of a scheduler's state: classes of this package's schedulers,
    of Syne Tune's, and of NumPy.

    Raises
    ------
    UnusableSnapshotError
        The snapshot is incomplete, is of another version, or contains other classes.
    """
    if SNAPSHOT_FILENAME not in disk.list_folder(folder):
        return None
    with disk.open(f"{folder}/{SNAPSHOT_FILENAME}") as file:
        return load_snapshot(file.read())


def load_snapshot(written: bytes) -> Snapshot:
    """Loads the bytes that :func:`dump_snapshot` has made; see :func:`read_snapshot`."""
    line, _, content = written.partition(b"\n")
    header = _header(line)
    wrote = (header.get("format"), header.get("version"))
    if wrote != (FORMAT, __version__):
        raise UnusableSnapshotError(
            f"the snapshot must be of format {FORMAT} and version {__version__}, but says {wrote[0]!r} and {wrote[1]!r}"
        )
    num_entries = header.get("num_entries")
    if header.get("sha256") != hashlib.sha256(content).hexdigest() or not isinstance(num_entries, int):
        raise UnusableSnapshotError("the snapshot is torn")
    try:
        return Snapshot(num_entries, _Unpickler(io.BytesIO(zlib.decompress(content))).load())
    except UnusableSnapshotError:
        raise
    except Exception as error:  # a class of another version may raise anything
        raise UnusableSnapshotError(f"the snapshot cannot be loaded: {error!r}") from error


def _header(line: bytes) -> Entry:
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise UnusableSnapshotError("the snapshot is torn")
    return header


def left_out() -> None:
    """Placeholder in a snapshot for an object that is not needed."""


class _SnapshotPickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if (type(obj).__module__, type(obj).__qualname__) in _REFITTED:
            return left_out, ()
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, name: str) -> Any:
        if (module_name, name) in _NAMES:
            return super().find_class(module_name, name)
        if any(f"{module_name}.".startswith(f"{allowed}.") for allowed in _MODULES):
            found: Any = importlib.import_module(module_name)
            # A module also has the names that it imports, which do not count. A class may be nested in another one.
            for part in name.split("."):
                found = getattr(found, part, None)
                if not isinstance(found, type) or found.__module__ != module_name:
                    break
            else:
                return found
        raise UnusableSnapshotError(
            f"the snapshot holds {module_name}.{name}, which is not among the classes that may be loaded"
        )
