"""Changes the processes of a run between two of its steps; ``docs/joining.md`` has the protocol.

Rank 0 leads: it opens a store at which all meet, sends the state to the new processes, and says after each stage
whether the change goes on. Every wait ends after a bounded time, and until the last stage is over the run can go on as
it was.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]

from syne_hypersched._resize_desk import JOINS, RESIZE_DIR, ChangeOutcome, RankChange, ResizeDesk
from syne_hypersched.contract import EXIT_DRAINED
from syne_hypersched.training._group import ProcessGroup, find_store, open_store
from syne_hypersched.training._rehearsal import rehearse_step
from syne_hypersched.training._transfer import receive, send

logger = logging.getLogger(__name__)

#: Seconds that rank 0 waits for a process that has said it is ready, or that has just been heard.
HELLO_S = 5.0
#: Seconds in which a group is formed.
FORM_S = 10.0
#: Seconds for which a new process loads the state that it has received.
LOAD_S = 60.0
#: Others wait a little longer for rank 0's word than rank 0 for them.
_MARGIN_S = 5.0
#: Seconds between two looks of a process that waits.
_LOOK_S = 0.003
#: Processes at the end of a run of this process, by the folder of its changes.
_ENDED: dict[str, int] = {}


class NotLetInError(RuntimeError):
    """A new process was not let in."""


class Resizer:
    """See the module.

    Parameters
    ----------
    group
        The processes.
    """

    def __init__(self, group: ProcessGroup) -> None:
        folder = os.environ.get(RESIZE_DIR)
        self._group = group
        why = "" if group.is_own else "the script has initialised torch.distributed itself"
        if folder in _ENDED:  # new processes would begin with the first run
            why = "it is not the first ElasticRun of its script"
        self._folder = folder
        self._desk = None if not folder or why else ResizeDesk(folder)
        if folder and why and group.rank == 0:
            ResizeDesk(folder).decline(why)
        #: The change for which this process was started.
        self._joins: RankChange | None = None
        if group.is_joining:
            number, before = map(int, os.environ[JOINS].split(":"))
            self._joins = RankChange(number, before, group.size)
        #: The change that was taken, on rank 0.
        self._change: RankChange | None = None
        self._ready: set[int] = set()
        self._store: Store | None = None
        #: Whether all processes have agreed to begin a change at the next step.
        self.is_due = False
        #: Why a number of processes is impossible; set by the run.
        self.refuses: Callable[[int], str] = lambda num_ranks: ""
        #: Why the processes of this run can never change, or nothing; set by the run.
        self.why_fixed: Callable[[], str] = lambda: ""
        self._is_able = False

    @property
    def is_active(self) -> bool:
        """Whether processes may join or leave while the run is trained."""
        return self._desk is not None

    def announce(self) -> None:
        """Tells the backend that the processes of this run can change, or why they cannot."""
        if self._desk is None:
            return
        why = self.why_fixed()
        if why:
            if self._group.rank == 0:
                self._desk.decline(why)
            return
        # All processes are on this machine, and a host name may not resolve.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        self._is_able = True
        if self._group.rank == 0:
            self._desk.announce()

    def asks(self) -> bool:
        """Whether a change can begin at the next step. Takes it then; only rank 0 is ever asked to."""
        desk = self._desk
        if desk is None or not self._is_able or self.is_due or self._group.rank != 0:
            return False
        if self._change is not None:
            return True  # the answer was not heard yet
        change = desk.pending()
        if change is None:
            return False
        for rank in change.new_ranks:
            if rank not in self._ready and not desk.is_ready(change, rank):
                return False
            self._ready.add(rank)
        why = self.refuses(change.after)
        if change.before != self._group.num_ranks:
            why = f"there are {self._group.num_ranks} processes"
        if not desk.take(change):
            return False
        self._ready = set()
        if why:
            desk.answer(ChangeOutcome(change.number, False, why, time.time()))
            return False
        self._change = change
        return True

    def close(self) -> None:
        """The run is over."""
        if self._folder:
            _ENDED[self._folder] = self._group.num_ranks
        if self._desk is not None and self._is_able and self._group.rank == 0:
            with contextlib.suppress(OSError):  # the backend then finds out when the process exits
                self._desk.end()
        if self._change is not None:
            self._answer(ChangeOutcome(self._change.number, False, "the run has ended", time.time()))
        self._store = None

    # In the processes that train.

    def carry_out(
        self,
        state: dict[str, Any],
        disconnect: Callable[[], None],
        connect: Callable[[], None],
    ) -> bool:
        """Carries out the change that is due; all processes of the run call it together.

        Parameters
        ----------
        state
            The state of the run, of which that of rank 0 is sent.
        disconnect
            Called before the group is left.
        connect
            Called when there is a new group, or the old one again.

        Returns
        -------
        bool
            Whether this process goes on.
        """
        began, group = time.perf_counter(), self._group
        self.is_due = False
        change: RankChange = group.broadcast(self._change)
        rank, before = group.rank, group.num_ranks
        store: Store | None = None
        port, why, transfer_s = 0, "", 0.0
        if rank == 0:
            opened = open_store(timedelta(seconds=FORM_S + HELLO_S + _MARGIN_S))
            store, port = opened, opened.port
            try:
                if change.new_ranks:
                    transfer_s = self._let_in(change, state, store, port)
            except Exception as error:  # after any error, the run goes on as before
                why = str(error) or type(error).__name__
                store.set("form", "no")
        port, why = group.broadcast((port, why))
        if why:
            self._finish(change, why)
            return True
        if store is None:
            store = find_store(port, timedelta(seconds=FORM_S + HELLO_S + _MARGIN_S))
        disconnect()
        group.disband()
        new_rank = change.staying.index(rank) if rank not in change.gone else None
        why = self._form(change, store, new_rank, range(max(before, change.after)))
        if why:
            group.disband()
            group.form(PrefixStore("back", store), rank, before, timedelta(seconds=FORM_S))
        elif new_rank is None:
            return False
        group.settle()
        self._store = store
        connect()
        self._finish(change, why, time.perf_counter() - began, transfer_s)
        return True

    def _let_in(self, change: RankChange, state: dict[str, Any], store: Store, port: int) -> float:
        """Rank 0 gives the new processes the state; returns how long that took."""
        desk = self._desk
        if desk is None:
            raise NotLetInError("there is no folder for changes")
        desk.offer(change, port)

        def check() -> None:
            if desk.has_given_up(change):
                raise NotLetInError("a new process has ended")

        keys = [f"here-{rank}" for rank in change.new_ranks]
        _wait_for(store, keys, HELLO_S, check)
        began = time.perf_counter()
        send(state, PrefixStore("state", store), len(change.new_ranks))
        _wait_for(store, [f"loaded-{rank}" for rank in change.new_ranks], LOAD_S, check)
        store.set("form", "yes")
        return time.perf_counter() - began

    def _form(self, change: RankChange, store: Store, new_rank: int | None, ranks: Iterable[int]) -> str:
        """Forms the new group; returns rank 0's word, empty if all have formed it. None: this process leaves."""
        mine, rank = "", self._group.rank
        try:
            if new_rank is not None:
                self._group.form(PrefixStore("group", store), new_rank, change.after, timedelta(seconds=FORM_S))
        except Exception as error:
            mine = str(error) or type(error).__name__
        store.set(f"formed-{rank}", mine)
        if rank != 0:
            return _word(store, "verdict", FORM_S + HELLO_S + _MARGIN_S)
        why = mine
        try:
            found = _wait_for(store, [f"formed-{other}" for other in ranks if other != 0], FORM_S + HELLO_S)
            why = why or next((word for word in found if word), "")
        except NotLetInError as error:
            why = why or str(error)
        store.set("verdict", why)
        return why

    def _finish(self, change: RankChange, why: str, pause_s: float = 0.0, transfer_s: float = 0.0) -> None:
        if self._group.rank == 0:
            if why:
                logger.warning("The change to %d processes has failed, and the run goes on: %s", change.after, why)
            self._answer(ChangeOutcome(change.number, not why, why, time.time(), pause_s, transfer_s))

    def _answer(self, outcome: ChangeOutcome) -> None:
        self._change = None
        if self._desk is not None:
            self._desk.answer(outcome)

    # In a new process.

    def join(self, load: Callable[[Any], None], connect: Callable[[], None], must_leave: Callable[[], bool]) -> bool:
        """Waits to join, and takes over the state of the others; returns whether this process trains then.

        Parameters
        ----------
        load
            Takes over the state.
        connect
            Called when there is a group.
        must_leave
            Whether the process is to end.

        Raises
        ------
        NotLetInError
            The others go on without this process.
        """
        desk, group, change = self._desk, self._group, self._joins
        if desk is None or change is None:
            raise NotLetInError(f"{RESIZE_DIR} must be set for a process that joins others, but is not")
        rank, num_new = group.rank, len(change.new_ranks)
        rehearse_step(group.device)
        desk.tell_ready(change.number, rank, time.time())
        while (port := desk.find_offer(change.number)) is None:
            if must_leave():
                return False
            time.sleep(_LOOK_S)
        store = find_store(port, timedelta(seconds=HELLO_S))
        store.set(f"here-{rank}", "")
        load(receive(PrefixStore("state", store), rank - change.before + 1, num_new))
        store.set(f"loaded-{rank}", "")
        if _word(store, "form", LOAD_S + _MARGIN_S) != "yes":
            raise NotLetInError("another new process was lost")
        why = self._form(change, store, rank, ())
        if why:
            raise NotLetInError(why)
        group.settle()
        self._store = store
        connect()
        self._joins = None
        return True


def leave_if_changed() -> None:
    """Leaves, to be launched again, if processes have joined or left in an earlier run of this process.

    The environment, by which those of another run would find each other, is that of the launch.
    """
    num_ranks = _ENDED.get(os.environ.get(RESIZE_DIR, ""))
    if num_ranks is not None and (JOINS in os.environ or num_ranks != int(os.environ.get("WORLD_SIZE", 1))):
        logger.warning(
            "Leaving before another ElasticRun, to be launched again for it: processes have joined or left in the one "
            "before."
        )
        raise SystemExit(EXIT_DRAINED)


def _wait_for(store: Store, keys: list[str], within_s: float, check: Callable[[], None] = lambda: None) -> list[str]:
    """The words that other processes set under these keys.

    Raises
    ------
    NotLetInError
        One of them does not in time.
    """
    give_up_at = time.monotonic() + within_s
    missing = list(keys)
    while missing:
        missing = [key for key in missing if not store.check([key])]
        if not missing:
            break
        check()
        if time.monotonic() > give_up_at:
            raise NotLetInError(f"a process does not answer within {within_s:g} s ({missing[0]})")
        time.sleep(0.0005)
    return [store.get(key).decode() for key in keys]


def _word(store: Store, key: str, within_s: float) -> str:
    store.wait([key], timedelta(seconds=within_s))
    word: str = store.get(key).decode()
    return word
