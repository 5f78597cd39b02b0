"""Checkpoints of trials at a URL: in a bucket, or any other place that ``fsspec`` can write to.

A store of objects has no rename. So each generation is a folder of its own, a *parcel*, whose description is written
last: a parcel without it is incomplete and is not read. The same holds for the *state* of a trial, which names the
generations that it had at a moment, and is replaced only when the next one is there::

    URL/EXPERIMENT/TRIAL/generations/DIGEST/0, 1, ...   parcel.json
    URL/EXPERIMENT/TRIAL/states/00000007/               live/0, 1, ...   live/parcel.json   state.json
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from syne_hypersched._extras import needs_extra
from syne_hypersched.checkpoints import GenerationStore
from syne_hypersched.checkpoints.moving import FILE, Arrival, Departure, identity, pieces

#: Bytes that are read or written at a time.
_CHUNK = 4 << 20
_PARCEL, _STATE = "parcel.json", "state.json"
_STATE_PATH = re.compile(rf"/states/(\d{{8}})/{re.escape(_STATE)}$")

Entries = dict[str, list[Any]]


class UrlStore:
    """See the module. Any thread may call, but for one trial one at a time. Every error is an ``OSError``.

    Parameters
    ----------
    url
        Where the folders of experiments are, such as ``s3://bucket/checkpoints``.
    experiment
        Name of the experiment.

    Raises
    ------
    ModuleNotFoundError
        ``fsspec`` is not installed.
    ValueError
        ``fsspec`` knows no such place, or not the package that is needed for it.
    """

    def __init__(self, url: str, experiment: str) -> None:
        with needs_extra("A URL as checkpoint_path", "ray"):
            import fsspec
        try:
            self._fs, root = fsspec.core.url_to_fs(url)
        except Exception as error:  # a file system that is not installed or set up may raise anything
            raise ValueError(
                f"checkpoint_path must be a folder, or a URL that fsspec can write to, but got {url!r}: {error}"
            ) from None
        self.url = f"{url.rstrip('/')}/{experiment}"
        self._root = f"{root.rstrip('/')}/{experiment}"
        #: The last state of each trial that was written from here.
        self._written: dict[str, str] = {}

    def check(self) -> None:
        """Writes something, reads it again and removes it.

        Raises
        ------
        OSError
            That cannot be done.
        """
        with _as_os_error():
            probe = f"{self._root}/.probe"
            self._write(probe, b"probe")
            data = self._fs.cat_file(probe)
            self._fs.rm_file(probe)
            if data != b"probe":
                raise OSError(f"what is written to {self.url} is not what is read there")

    def put(self, trial: str, checkpoints: Path, aside: Path) -> int:
        """Writes a trial's new checkpoints, and removes old ones; returns the number of bytes written.

        Parameters
        ----------
        trial
            Its name.
        checkpoints
            Its checkpoint folder.
        aside
            A folder on the same disk that does not exist.

        Raises
        ------
        OSError
            The checkpoints cannot be written, or have changed meanwhile. The earlier ones are still there.
        """
        with _as_os_error():
            found = self._find(trial)
            store, base = GenerationStore(checkpoints), f"{self._root}/{trial}"
            parcels = {identity(each): f"{base}/generations/{_digest(each)}" for each in store.generations()}
            known = [name for name, folder in parcels.items() if f"{folder}/{_PARCEL}" in found]
            departure = Departure(checkpoints, aside, known, with_live=True)
            try:
                return self._put(trial, found, departure)
            finally:
                departure.close()

    def _put(self, trial: str, found: set[str], departure: Departure) -> int:
        bill, base, num_bytes = departure.bill, f"{self._root}/{trial}", 0
        if not bill["generations"] and bill["live"] is None:
            return 0
        described = json.dumps({**bill, "generations": [g["identity"] for g in bill["generations"]], "files": None})
        last = max(_states(found), default=0)
        if last and self._written.get(trial) == described:
            return 0
        generations = []
        for generation in bill["generations"]:
            folder = f"{base}/generations/{_digest_of(generation['identity'])}"
            if generation["entries"] is not None:
                num_bytes += self._put_parcel(departure, folder, generation["entries"])
            generations.append({**generation, "entries": None})
        state = f"{base}/states/{last + 1:08}"
        if bill["live"] is not None:
            num_bytes += self._put_parcel(departure, f"{state}/live", bill["live"])
        kept = {**bill, "generations": generations, "live": None, "has_live": bill["live"] is not None, "files": []}
        self._write(f"{state}/{_STATE}", json.dumps(kept).encode())
        self._written[trial] = described
        named = tuple(f"{base}/generations/{_digest_of(g['identity'])}/" for g in generations)
        # The descriptions first, so that a half removed parcel counts as incomplete.
        for path in sorted(found, key=lambda path: not path.endswith((_PARCEL, _STATE))):
            if not path.startswith(named):
                with contextlib.suppress(FileNotFoundError):
                    self._fs.rm_file(path)
        return num_bytes

    def _put_parcel(self, departure: Departure, folder: str, entries: Entries) -> int:
        indices = sorted({entry[1] for entry in entries.values() if entry[0] == FILE})
        files = [departure.bill["files"][index] for index in indices]
        for number, (index, (size, *_)) in enumerate(zip(indices, files, strict=True)):
            path = f"{folder}/{number}"
            self._fs.makedirs(folder, exist_ok=True)
            with self._fs.open(path, "wb") as file:
                for group in pieces({index: size}, _CHUNK):
                    file.write(departure.read(group))
        numbers = {index: number for number, index in enumerate(indices)}
        parcel = {"entries": _renumbered(entries, numbers.__getitem__), "files": files}
        self._write(f"{folder}/{_PARCEL}", json.dumps(parcel).encode())
        return sum(size for size, *_ in files)

    def get(self, trial: str, checkpoints: Path, aside: Path) -> int | None:
        """Puts the newest whole state of a trial in place; returns the number of its newest generation.

        None: there is no whole state. ``checkpoints`` and ``aside`` are as in :meth:`put`.

        Raises
        ------
        OSError
            It cannot be read or written.
        ValueError
            What is there makes no sense.
        """
        with _as_os_error():
            found = self._find(trial)
            for number in sorted(_states(found), reverse=True):
                bill = None
                with contextlib.suppress(FileNotFoundError, ValueError, KeyError):  # it is being removed, or is damaged
                    bill = self._bill(f"{self._root}/{trial}", number, found)
                if bill is not None:
                    return self._fetch(Arrival(checkpoints, aside, bill[0]), bill[1])
        return None

    def _bill(self, base: str, number: int, found: set[str]) -> tuple[dict[str, Any], list[str]] | None:
        """The bill of a state and the path of each of its files; None: it is not whole."""
        state = f"{base}/states/{number:08}"
        bill = json.loads(self._fs.cat_file(f"{state}/{_STATE}"))
        files: list[list[int]] = []
        paths: list[str] = []

        def entries_of(folder: str) -> Entries:
            parcel, first = json.loads(self._fs.cat_file(f"{folder}/{_PARCEL}")), len(files)
            files.extend(parcel["files"])
            paths.extend(f"{folder}/{index}" for index in range(len(parcel["files"])))
            return _renumbered(parcel["entries"], lambda index: first + index)

        folders = [f"{base}/generations/{_digest_of(g['identity'])}" for g in bill["generations"]]
        live = [f"{state}/live"] if bill.pop("has_live") else []
        if any(f"{folder}/{_PARCEL}" not in found for folder in (*folders, *live)):
            return None
        for generation, folder in zip(bill["generations"], folders, strict=True):
            generation["entries"] = entries_of(folder)
        bill["live"] = entries_of(live[0]) if live else None
        return {**bill, "files": files}, paths

    def _fetch(self, arrival: Arrival, paths: list[str]) -> int | None:
        try:
            for index, size in arrival.needed.items():
                if size:
                    with self._fs.open(paths[index], "rb") as file:
                        for ((_, offset, length),) in pieces({index: size}, _CHUNK):
                            arrival.write([(index, offset, length)], file.read(length))
            return arrival.commit()
        finally:
            arrival.close()

    def remove(self, trial: str) -> None:
        """Removes all of a trial.

        Raises
        ------
        OSError
            It cannot be removed.
        """
        with _as_os_error():
            self._written.pop(trial, None)
            if self._find(trial):
                self._fs.rm(f"{self._root}/{trial}", recursive=True)

    def _find(self, trial: str) -> set[str]:
        """Paths of all objects of a trial."""
        base = f"{self._root}/{trial}"
        self._fs.invalidate_cache()  # otherwise files of other writers would not be seen
        try:
            return set(self._fs.find(base))
        except FileNotFoundError:
            return set()

    def _write(self, path: str, data: bytes) -> None:
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._fs.pipe_file(path, data)


def _renumbered(entries: Entries, number_of: Any) -> Entries:
    return {path: [e[0], number_of(e[1])] if e[0] == FILE else list(e) for path, e in entries.items()}


def _states(found: set[str]) -> list[int]:
    return [int(match[1]) for match in map(_STATE_PATH.search, found) if match]


def _digest(generation: Any) -> str:
    return _digest_of(identity(generation))


def _digest_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:20]


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """Turns errors of any file system into ``OSError``."""
    try:
        yield
    except (OSError, ValueError):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
