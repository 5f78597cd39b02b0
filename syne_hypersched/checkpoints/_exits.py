"""How processes have ended, and what that shows about the checkpoint that they leave behind."""

from __future__ import annotations

import signal
from collections.abc import Collection, Sequence

from syne_hypersched.checkpoints._files import Tree, are_of_elastic_run
from syne_hypersched.checkpoints._numbers import pattern_of
from syne_hypersched.checkpoints._observer import Observer
from syne_hypersched.checkpoints._states import State
from syne_hypersched.contract import EXIT_DRAINED

#: Exit codes of a process that has handled SIGTERM: it exited with the first, or died of a second SIGTERM.
_TERMINATED, _DIED = 128 + signal.SIGTERM, -signal.SIGTERM


def have_left(exit_codes: Sequence[int | None], handled: Collection[int]) -> tuple[bool, bool]:
    """Whether all processes have ended by themselves, and whether all have at least handled SIGTERM.

    Parameters
    ----------
    exit_codes
        Exit codes of the processes, negative for signals.
    handled
        Indices of the processes that had a handler when SIGTERM was sent to them.
    """
    ends = list(enumerate(exit_codes))
    left = [code in (0, EXIT_DRAINED) or (code == _TERMINATED and index in handled) for index, code in ends]
    # A process that handles SIGTERM and then dies of it may have had a thread that was writing.
    died = [code == _DIED and index in handled for index, code in ends]
    return all(left), all(map(any, zip(left, died, strict=True)))


def have_others_left(exit_codes: Sequence[int | None], handled: Collection[int]) -> bool:
    """Whether SIGTERM has killed some processes at once, and all others have ended by themselves.

    Parameters
    ----------
    exit_codes, handled
        See :func:`have_left`.
    """
    struck = [code == _DIED and index not in handled for index, code in enumerate(exit_codes)]
    others = [code if not is_struck else 0 for code, is_struck in zip(exit_codes, struck, strict=True)]
    return any(struck) and not all(struck) and have_left(others, handled)[0]


def have_failed(exit_codes: Sequence[int | None]) -> bool:
    """Whether an error may have ended a process: its exit code is none of those of an orderly end."""
    return any(code is not None and code > 0 and code not in (EXIT_DRAINED, _TERMINATED) for code in exit_codes)


def have_been_killed(exit_codes: Sequence[int | None]) -> bool:
    """Whether a signal has ended a process. SIGTERM is not counted, since it comes only after a pause."""
    return any(code is not None and code < 0 and code != _DIED for code in exit_codes)


def may_be_cut(
    exit_codes: Sequence[int | None], state: State | None, num_reports: int, is_fresh: bool, is_first: bool
) -> bool:
    """Whether the end of a process may have interrupted its last save.

    An error may have closed the file. Or a process may have been killed between two files of the first checkpoint: the
    number of files in a checkpoint is not known at that time. The save was finished if the script has reported since
    then, or has gone on training for a while.

    Parameters
    ----------
    exit_codes
        Exit codes of the processes, negative for signals.
    state
        The last state of the folder.
    num_reports
        Number of reports so far.
    is_fresh
        Whether the state was saved a moment ago.
    is_first
        Whether it is the first checkpoint, and no generation of it was taken.
    """
    may_be = (have_failed(exit_codes) and is_fresh) or (have_been_killed(exit_codes) and is_first)
    return may_be and state is not None and num_reports <= state.before


def _is_one_file_again(found: Tree, newest: Tree) -> bool:
    """Whether a checkpoint has one file, as the last whole one: then no file is missing and no epochs are mixed."""
    one, other = (
        [pattern_of(path) for path, state in tree.items() if state.kind == "file"] for tree in (found, newest)
    )
    return one == other and len(one) == 1


def _are_of_one_name(found: Tree) -> bool:
    """Whether all files have the same name, with one number in it: most likely, each file is a checkpoint."""
    names = {pattern_of(path) for path, state in found.items() if state.kind == "file"}
    return len(names) == 1 and next(iter(names)).count("#") == 1


def judge(
    observer: Observer,
    found: Tree,
    newest: Tree | None,
    exit_codes: Sequence[int | None],
    has_left: bool,
    has_handled: bool,
    is_proven: bool,
    *,
    is_late: bool,
    has_gone_on: bool,
    is_in_doubt: bool,
    has_holes: bool,
) -> tuple[bool, bool]:
    """Whether the folder that a launch leaves is whole, and whether the next launch tries to load it.

    Parameters
    ----------
    observer
        What was seen of the folder.
    found
        The folder.
    newest
        The folder as it was when the newest generation was taken; None: there is no generation.
    exit_codes
        Exit codes of the processes, negative for signals.
    has_left, has_handled
        See :func:`have_left`.
    is_proven
        Whether living processes have closed all files that were written.
    is_late
        Whether an incomplete checkpoint would have been completed by now.
    has_gone_on
        Whether the launch has reported or has finished a file.
    is_in_doubt
        Whether the launch began with a checkpoint that may not be whole.
    has_holes
        Whether a file of the folder has regions that were never written.
    """
    bursts, doubts = observer.bursts, observer.doubts
    # The first files may be of this epoch and the others of the one before. Or old files are gone before new ones come.
    is_partial = bursts.is_partial and not is_late and any(exit_codes) and not are_of_elastic_run(found)
    is_partial = is_partial and not _is_one_file_again(found, newest or {})
    is_aside = observer.habits.are_aside(found)
    is_mixed = is_partial or is_aside
    is_whole = (is_proven or (has_left and not doubts.paths)) and not is_mixed
    if is_in_doubt and not has_gone_on and any(exit_codes):
        is_whole = False  # it may still be torn
    # A script that ends with an exception may have been writing. So may one that is killed after it has made an empty
    # file. The next launch tries such a checkpoint, but no generation of it is taken.
    is_tried = is_whole or observer.may_be_whole or all(code is not None and code >= 0 for code in exit_codes)
    is_tried |= has_handled and (doubts.were_outlived or (doubts.are_as_large(found, newest or {}) and not has_holes))
    if newest is None and not is_in_doubt and bursts.is_only_one:
        # There is no other checkpoint to continue from. If this one is torn, one launch fails.
        return is_whole, (is_tried or doubts.were_closed) and not is_aside
    # A thread saves, so the number of files in a checkpoint is unknown. A process that ends in order has waited for it.
    is_of_thread = has_left and is_proven and (bursts.is_only_one or _are_of_one_name(found))
    return is_whole, (is_tried and not is_mixed) or (is_of_thread and not (is_aside or is_in_doubt))
