"""Finds where one checkpoint ends and the next one begins, from the names of files in the order of writing.

A script writes the same files for each checkpoint. Numbers in names are ignored, since they may be epochs. So a
checkpoint is a list of names, and a name may occur several times (``model-1-of-2``, ``model-2-of-2``). A checkpoint is
complete when it has the same names as the previous one. A file that is written again begins the next checkpoint. So
does a name that appears again after a report, unless the previous checkpoint was longer. Folders with numbers tell
more (``_folders.py``), and so do names that say how many parts there are (``model-1-of-3``).

At first, ``name-2`` after a report may be the second checkpoint or the second part of the first one, since a thread may
save while the script reports. The second checkpoint is then a guess. It is not taken to be complete unless it has
several files. If the very first file is written again, all files before it were the first checkpoint. The same is true
if one number in a name restarts while another one has grown (``step-2-part-1``).
If the same file is written again and again, with reports in between, that file alone is a checkpoint, even if earlier
checkpoints had more files: a script may write some files only with the first checkpoint.

A script may alternate between two names, and then write which one is the newest (``_turns.py``). If a thread saves, the
file that is written again shows the same: an equal number of other files came before it both times. Such checkpoints
are called a cycle here.

Temporary files, which are needed only while others are written, are no part of the checkpoint (``_lifetimes.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from copy import deepcopy

from syne_hypersched.checkpoints._files import is_in
from syne_hypersched.checkpoints._folders import NumberedFolders
from syne_hypersched.checkpoints._layouts import layout_of, marked, unmarked
from syne_hypersched.checkpoints._lifetimes import Lifetimes
from syne_hypersched.checkpoints._numbers import (
    are_same,
    is_missing_part,
    names_of,
    pattern_of,
    shape_of,
    without,
)
from syne_hypersched.checkpoints._path_list import PathList
from syne_hypersched.checkpoints._present import Present
from syne_hypersched.checkpoints._singles import Singles
from syne_hypersched.checkpoints._turns import Turns

#: After this many reports in a row with one file alone, that file is the whole checkpoint.
_ALONE = 2
#: After this many checkpoints in a row, each with other names than the previous one, names tell nothing.
_MOST_ODD = 3


class Bursts:
    """Collects the files of checkpoints, as the docstring of the module explains.

    Parameters
    ----------
    layout
        What a checkpoint consists of, if an earlier launch has shown it (``_layouts.py``).
    present
        Files of whole checkpoints that existed before the launch.
    """

    def __init__(self, layout: Sequence[str] = (), present: Iterable[str] = ()) -> None:
        layout, reopened = unmarked(layout)
        #: Paths of the present checkpoint, in the order in which they were finished.
        self._paths = PathList()
        #: Names of the previous checkpoint, and how often each occurs; None: there was none.
        self._last: Counter[str] | None = names_of(layout) if layout else None
        #: Of the previous checkpoint: number of files and last name; names in order; last name if no report cut it.
        self._last_shape, self._last_order, self._last_end = shape_of(layout), list(map(pattern_of, layout)), ""
        #: Whether a report came after the last file; the files that came first after a report.
        self._has_reported, self._after_report = False, set[str]()
        #: How often the last file was written again after a report; number of checkpoints in a row with other names;
        #: number of checkpoints that are over, as far as is known now.
        self._num_alone = self._num_odd = self.num_over = 0
        #: Whether a file of the present checkpoint was removed; whether the checkpoint was complete then; and the
        #: removed files that had existed at a report.
        self._is_cleaned = self._is_over = False
        self._gone = PathList()
        #: Names of files that may be temporary, since no report came while they existed.
        self._unsure, self._lifetimes = set[str](), Lifetimes(self._last)
        #: State before the first removal since the last file or report: names, removed parts, lifetimes.
        self._before_removal: tuple[Counter[str] | None, PathList, Lifetimes] | None = None
        self._removed, self._folders = PathList(), NumberedFolders()
        self._turns, self._has_written = Turns(), False  # any file, in this launch
        #: The shape of all checkpoints, if names alternate and reports come at any time.
        self._cycle: tuple[int, str] | None = None
        #: Whether a report came in the middle of the present checkpoint; whether one came while a file was written.
        self._is_cut = self._is_overlapped = False
        #: Files finished since the last report; files finished since a checkpoint last began for certain.
        self._fresh, self._since = set[str](), PathList()
        self._head = pattern_of(layout[0]) if layout else ""  # the name of the very first file
        #: What a checkpoint consists of (empty: not certain), and the paths of the previous checkpoint.
        self._layout, self._before = list(layout), set[str]()
        self._present = Present(present, layout)
        #: Whether the name that began the present checkpoint may be another part of the previous one.
        self._is_guess = False
        #: Names of files that were closed twice during one save; whether a pause or a removal followed the last file.
        self._reopened, self._has_rested = reopened, False
        #: Whether the last report came in the middle of a checkpoint, so that its other parts were written later.
        self._singles, self._is_continued = Singles(), False

    @property
    def is_cut(self) -> bool:
        """Whether the present checkpoint is complete, and a report certainly came in its middle."""
        return self._is_cut and self.is_complete

    @property
    def is_complete(self) -> bool:
        """Whether the present checkpoint has the same names as the previous one."""
        if self._lacks_parts or (self._is_guess and len(self._paths) < 2):
            return False
        if self._cycle or self._turns.are_taken:
            return bool(self._paths) and shape_of(self._paths) == (self._cycle or shape_of(self._turns.before))
        return bool(self._paths) and are_same(self._paths.names, self._last)

    @property
    def is_certain(self) -> bool:
        """Whether the present checkpoint is certainly complete."""
        return self.is_complete and bool(
            self._cycle or self._turns.are_taken or self._lifetimes.is_certain(self._paths.names)
        )

    @property
    def layout(self) -> list[str]:
        """What a checkpoint consists of (``_layouts.py``); empty if that is not certain."""
        layout = layout_of(self._paths, self._before) if self._before and self.is_certain else self._layout
        return [] if self._cycle or self._turns.are_taken else marked(layout, self._reopened)

    @property
    def is_first(self) -> bool:
        """Whether the present checkpoint is the first one."""
        return self.is_only_one and not (self._may_be_second or self._is_overlapped)

    @property
    def is_partial(self) -> bool:
        """Whether the present checkpoint has other names than the previous one so far, or is the first and may be cut.

        The first may be cut if a report came while one of its files was being written: then a thread saves, and neither
        the next report nor a short pause shows that it has written all files.
        """
        return self._has_other_names or (self._is_overlapped and self.is_only_one)

    @property
    def _has_other_names(self) -> bool:
        if self._cycle or self._turns.are_taken or self._may_be_second:
            return not self.is_complete
        if self._gone or self._lacks_parts:
            return True
        is_odd = bool(self._paths) and self._last is not None and not are_same(self._paths.names, self._last)
        # The same number of files, and the same last file: perhaps two names alternate.
        return is_odd and shape_of(self._paths) != self._last_shape and self._num_odd < _MOST_ODD

    @property
    def _lacks_parts(self) -> bool:
        """Whether names such as ``model-1-of-3`` show that more parts will come."""
        return not self._singles.are_parts and self._paths.lacks_parts

    @property
    def is_only_one(self) -> bool:
        """Whether no file was written twice and no part is known to be missing: no file is from an older checkpoint."""
        return bool(self._paths) and self._last is None and not (self._lacks_parts or self._gone)

    @property
    def _may_be_second(self) -> bool:
        """Whether the files since the first report may be the second checkpoint, under other names."""
        return self._last is None and 0 < len(self._turns.written) < len(self._turns.before) and not self._is_continued

    def begins(self, path: str) -> bool:
        """Whether a file or folder is the first one of a checkpoint."""
        if not self._paths or self._cycle:
            return not self._paths or self.is_complete
        if (self._lacks_parts and is_missing_part(path, self._paths)) or (
            self._is_at_once_again(path) and pattern_of(path) in self._reopened
        ):
            return False
        begins = self._folders.begins(path, self._paths)
        if begins is not None:
            return begins
        if self.is_complete:
            return True
        if self._turns.are_taken:
            return False
        if self._is_over or (self._is_cleaned and self._has_reported):
            return True
        if path in self._paths:
            # A script may open and write one file several times.
            is_at_once = self._last is None and self._is_at_once_again(path)
            may_go_on = self._paths[-1] == path and (self._has_other_names or is_at_once)
            return not may_go_on or self._num_alone + self._has_reported >= _ALONE
        if self._starts_again(path):
            return True
        return self._paths.has_old(path, self._fresh) and (self._is_guess or not self.expects(path))

    def _starts_again(self, path: str) -> bool:
        """Whether a file shows that all files before it were the first checkpoint, regardless of reports in between."""
        is_head_again = pattern_of(path) == self._head and self._head in self._lifetimes.passing
        may_start_again = bool(self._since) and (self._last is None or self._is_guess)
        return may_start_again and (is_head_again or self._since.starts_again(path))

    def expects(self, path: str) -> bool:
        """Whether the previous checkpoint had more files of this name than the present one has so far."""
        name = pattern_of(path)
        return bool(self._paths) and self._last is not None and self._paths.names[name] < self._last[name]

    def overlap(self, is_certain: bool) -> None:
        """Notes that a report came while a file or folder was being written, if that is certain."""
        self._is_overlapped = self._is_overlapped or is_certain

    def add(self, path: str) -> bool:
        """Adds a file or folder that is finished and in its final place; returns whether it begins a checkpoint."""
        if self._cycle and not self._paths.are_followed_by(path, *self._cycle):
            self._cycle = None
        self._head = self._head or pattern_of(path)
        self._before_removal, self._removed = None, PathList()
        self._singles.add(path)
        if self._singles.are_growing and self._paths[-1:] != [path]:
            self.begin()
            self._last, self._is_guess, self._cycle = names_of([path]), False, None
        begins, is_again = self.begins(path), self._paths[-1:] == [path]
        if self._is_at_once_again(path):
            self._reopened.add(pattern_of(path))
        self._has_rested = False
        is_old = self._last is None and self._paths.has_old(path, self._fresh)
        is_guess = is_old and not (path in self._paths or self._starts_again(path))
        is_new = self._last is not None or path not in self._paths or self._starts_again(path)
        second = self._paths.second_of_cycle(path) if self._last is None or self._is_guess else []
        if second:
            begins, self._paths = False, PathList(self._paths[: len(second)])
            self.begin()
            self._paths, self._cycle, self._is_guess = PathList(second[:-1]), shape_of(second), False
        elif begins and not is_new and self._turns.may_end_with(path):
            # The files written since the report are the second checkpoint, under another name.
            begins, self._paths = False, PathList(self._turns.before)
            self.begin()
            self._paths = PathList(self._turns.written)
        elif begins and self._folders.gives_up(path) and not self._cycle:
            self._paths, self._last, self._since, self._is_guess = PathList(), None, PathList(), False
        elif begins:
            if self._is_guess and self._starts_again(path):
                self._paths = self._since
            self.begin()
            self._is_guess = is_guess
            self._since = self._since if is_guess else PathList()
        if not begins:
            self._lifetimes.go_on(self._has_reported)
        is_added = not is_again or begins
        if is_added:
            for known in (self._paths, self._turns.written, self._since):
                known.append(path)
            self._num_alone = 0
            self._gone.put_back(path)
            if self._has_reported:
                self._after_report.add(path)
        else:
            self._num_alone += self._has_reported
        self._has_reported, self._has_written = False, True
        self._folders.add(path)
        if path not in self._fresh:
            self._fresh.add(path)
            if self._paths.times(path) > is_added:  # the name may have been that of an older path only
                self._paths.old_names = None
        return begins

    def rest(self, is_closed: bool = True) -> None:
        """Notes that nothing has happened for a while; ``is_closed``: and no file was open for writing."""
        self._has_rested = self._has_rested or is_closed
        self._drop_unsure()
        self._lifetimes.rest(self._paths.names, self.is_complete)

    @property
    def may_go_on(self) -> bool:
        """Whether the last file was closed more than once during other saves."""
        return bool(self._paths) and not self._has_reported and pattern_of(self._paths[-1]) in self._reopened

    def _is_at_once_again(self, path: str) -> bool:
        """Whether the last file is written again, without a report or a pause in between."""
        return self._paths[-1:] == [path] and not (self._has_reported or self._has_rested)

    def report(self, is_certain: bool = False) -> None:
        """Notes a report of the script; if ``is_certain``, it came after the last file that was added."""
        self._has_reported, self._is_continued = True, self._lacks_parts
        self._before_removal, self._removed = None, PathList()
        self._folders.report()
        self._singles.report()
        self._fresh.clear()
        self._paths.old_names = None
        self._is_cut = self._is_cut or (is_certain and self._has_other_names)
        self._drop_unsure()
        self._lifetimes.report(self._paths.names, self.is_complete)
        turn, before = self._turns.written, self._turns.before
        is_known = self._last is not None and not (self._is_overlapped or self._is_guess or self._gone)
        if is_known and self._paths.is_tail_of(self._last_order):  # the other files were written only once
            self._last, self._last_order = Counter(self._paths.names), list(map(pattern_of, self._paths))
        if not turn:
            return
        if self._singles.end(turn):
            self._paths = PathList(self._paths[-1:])
        if self._turns.report():
            self._last, self._paths, self.num_over = names_of(before), PathList(turn), self.num_over + 1

    def begin(self) -> None:
        """Ends the present checkpoint: the next file begins another one."""
        if self._paths or (self._gone and self._has_written):
            names = self._paths.names + self._gone.names
            self._lifetimes.begin(names)
            self._num_odd = self._num_odd + 1 if self._last is not None and not are_same(names, self._last) else 0
            self._last_shape = shape_of([*self._gone, *self._paths])
            self._last_order = list(map(pattern_of, self._paths))
            self._last_end = "".join(self._last_order[-1:]) if self._after_report.isdisjoint(self._paths[1:]) else ""
            self._is_cut, self.num_over = False, self.num_over + 1
            self._layout, self._before = self.layout if self.is_certain else [], set(self._paths)
            self._present = Present()
            self._last, self._paths, self._num_alone = names, PathList(), 0
            self._is_cleaned, self._is_over, self._gone, self._unsure = False, False, PathList(), set()
            self._after_report.clear()

    def set_aside(self, path: str) -> None:
        """Notes that a file or folder was moved away. If it belongs to the present checkpoint, a new one is coming."""
        self._miss(path)
        gone = self._paths.within(path)
        self._gone.extend(gone)
        # A file that was finished a moment ago gets another name during the save, and is then written once more.
        self._is_over = self._is_over or not self._fresh.issuperset(gone)
        self._paths.discard_in(path)

    def _miss(self, path: str) -> None:
        """Notes a removal. Files from before the launch may be removed before the first checkpoint is written."""
        missed = self._present.remove(path, self._paths.names)
        self._gone.extend(missed)
        self._unsure.update(map(pattern_of, missed))

    def remove(self, path: str) -> None:
        """Notes the removal of a file or folder. A folder put in place whole counts as gone with its first file."""
        self._miss(path)
        path = self._paths.holder(path)
        # This settles a guess: if both were parts of one checkpoint, a part would stay.
        self._is_guess = self._is_guess and (path in self._paths or pattern_of(path) not in self._paths.names)
        written = [other for other in self._turns.written.within(path) if other not in self._removed]
        if not (written or self._paths.has_in(path) or self._since.has_in(path)):
            return  # or it is a folder whose files were removed before
        paths, gone = self._paths, self._paths.within(path)
        removed, num_left = names_of(gone), len(paths) - len(gone)
        self._cycle = None if gone else self._cycle
        if self._before_removal is None:
            self._before_removal = self._last, PathList(self._gone), deepcopy(self._lifetimes)
        self._removed.extend(gone)
        # The removal ends a save, perhaps by a thread. A part would be removed when the next checkpoint begins.
        is_brief = not (self._has_reported or gone == paths[-1:])
        brief = self._lifetimes.brief(removed, paths.names) if is_brief else set[str]()
        left = {name: paths.names[name] - removed[name] + self._gone.names[name] for name in removed}
        lasting = self._lifetimes.lose(gone, left)
        is_known = lasting or self._has_reported or not self._lifetimes.passing.isdisjoint(removed)
        unsure = gone if gone == paths[-1:] and not is_known else []
        self._unsure.update(map(pattern_of, unsure))
        was_first = self._last is None and self._lifetimes.has_rested
        self._is_over = self._is_over or (bool(lasting) and (self.is_complete or was_first))
        self._has_rested = self._has_rested or bool(lasting)
        self._gone.extend([*lasting, *unsure])
        self._is_cleaned = self._is_cleaned or (bool(gone) and num_left > 0)
        paths.discard_in(path)
        self._since.discard_in(path)
        used = brief | set(map(pattern_of, written))
        if used:  # the file that ends a checkpoint is a part of it, and is removed when the next one begins
            used -= {*self._lifetimes.lasting, *self._paths.names, self._last_end}
            self._forget(used)
        # Other files were finished while it existed: it is not a part that is removed before the next checkpoint.
        self._pass_by((brief & used) | {name for name in used if self._turns.written.outlasts(name)})
        if unsure and not num_left:  # nothing is left of all its files: it was a checkpoint
            self._last, self._gone, self._lifetimes = self._before_removal
            self._gone.extend(self._removed)
            self._unsure.update(map(pattern_of, self._removed))
            self._lifetimes.lose(self._removed, {})

    def _drop_unsure(self) -> None:
        """Marks the last file as temporary: it was removed, and no checkpoint began after that."""
        names, self._unsure = self._unsure - self._paths.names.keys(), set()
        self._forget(names)
        self._pass_by(names)

    def _pass_by(self, names: set[str]) -> None:
        self._lifetimes.pass_by(names)
        self._gone.discard_named(self._lifetimes.passing)

    def withdraw(self, path: str) -> bool:
        """Removes files that were not in their final place. Returns whether they came last or after the last report."""
        is_last, gone = any(is_in(other, path) for other in self._paths[-1:]), self._paths.within(path)
        is_fresh = bool(gone) and self._fresh.issuperset(gone)
        self._cycle = None if gone else self._cycle
        self._has_reported = self._has_reported or not self._after_report.isdisjoint(gone)
        for known in (self._paths, self._turns.written, self._since, self._gone):
            known.discard_in(path)
        pattern = pattern_of(path)
        self._forget({name for name in self._last or () if is_in(name, pattern)})
        return is_last or is_fresh

    def _forget(self, names: set[str]) -> None:
        """Notes that some names were no part of the previous checkpoint."""
        if names and self._last is not None:
            self._last = without(self._last, names.__contains__) or None
