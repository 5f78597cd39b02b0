"""Files that existed before a launch: a script may remove them before it saves its first checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from syne_hypersched.checkpoints._numbers import names_of, pattern_of
from syne_hypersched.checkpoints._path_list import PathList, folders_of


class Present:
    """Keeps the paths of these files.

    Parameters
    ----------
    paths
        The files, all of which belong to whole checkpoints.
    layout
        The files of a checkpoint (``_layouts.py``); empty: not known.
    """

    def __init__(self, paths: Iterable[str] = (), layout: Sequence[str] = ()) -> None:
        units = set(map(pattern_of, layout))
        # A folder that is put in place as a whole counts as one entry, regardless of its content.
        wholes = (next((one for one in (path, *folders_of(path)) if pattern_of(one) in units), path) for path in paths)
        self._paths = PathList(dict.fromkeys(wholes))
        self._needed = names_of(layout or self._paths.names)

    def remove(self, path: str, written: Mapping[str, int]) -> list[str]:
        """Removes a path. Returns the removed paths that a checkpoint now lacks.

        Parameters
        ----------
        path
            A file or folder that was removed or moved away.
        written
            Number of files of each name that the launch has written; a folder put in place as a whole counts as one.
        """
        path = self._paths.holder(path)
        gone = self._paths.within(path)
        self._paths.discard_in(path)
        return [other for other in gone if self._num_left(pattern_of(other), written) < self._needed[pattern_of(other)]]

    def _num_left(self, name: str, written: Mapping[str, int]) -> int:
        return self._paths.names[name] + sum(written.get(one, 0) for one in (name, *folders_of(name)))
