"""The launches whose processes train one trial together: the first launch, and launches that have joined it."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from syne_hypersched._resize_desk import JOINS, RESIZE_DIR, ChangeOutcome, RankChange, ResizeDesk
from syne_hypersched.launch import LaunchExit, LaunchSpec

#: After this many changes that have failed in a row, a launch is drained for the next one.
MOST_FAILURES = 2


@dataclass(frozen=True)
class Seat:
    """One process that trains, and the device that it has."""

    handle: int
    """The launcher's number of its launch."""
    index: int
    """Which process of that launch it is."""
    device: str
    log: int
    """Its first rank, which is in the name of its log."""


class Crew:
    """State of a trial's processes, from a launch until the last process is reaped. Plain data.

    Parameters
    ----------
    handle
        The launch with rank 0.
    devices
        Those of its processes.
    num_processes
        As many as devices, or one for all of them.
    desk
        Where changes are requested; None if the processes cannot change.
    """

    def __init__(self, handle: int, devices: Sequence[str], num_processes: int, desk: ResizeDesk | None) -> None:
        self.main = handle
        #: By rank.
        self.seats = [Seat(handle, index, device, index) for index, device in enumerate(devices[:num_processes])]
        self.desk = desk
        #: The change in progress, the launch of its new processes, and their devices.
        self.change: RankChange | None = None
        self.newcomer: int | None = None
        self.new_devices: tuple[str, ...] = ()
        self.is_withdrawn = self.is_ready = False
        self.outcome: ChangeOutcome | None = None
        self.ordered_at = self.ordered_timestamp = 0.0
        #: Ranks that were to leave and have been reaped.
        self.gone: set[int] = set()
        #: How launches have ended, in order of their ends.
        self.exits: dict[int, LaunchExit] = {}
        self.is_ending = False
        #: Changes that have failed since one was carried out, and when the next one may begin.
        self.num_failed = 0
        self.not_before = 0.0
        self._num_changes = 0

    @property
    def handles(self) -> list[int]:
        """The launches that are not known to have left, that of new processes among them."""
        known = dict.fromkeys([self.main, *(seat.handle for seat in self.seats)])
        return [*known, *([self.newcomer] if self.newcomer is not None else [])]

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices of the processes that train, by rank."""
        return tuple(seat.device for seat in self.seats)

    @property
    def logs(self) -> tuple[int, ...]:
        """The ranks by which the logs of the processes that train are named, by rank."""
        return tuple(seat.log for seat in self.seats)

    @property
    def can_change(self) -> bool:
        """Whether processes can join and leave: the script supports it, and no attempt has failed."""
        desk = self.desk
        return desk is not None and not self.is_ending and self.num_failed < MOST_FAILURES and desk.is_able

    @property
    def is_over(self) -> bool:
        """Whether the script has announced the end of its training, so that more devices do not help."""
        return self.desk is not None and self.desk.is_over

    @property
    def why_unable(self) -> str:
        """Why a change of the devices needs a new launch; empty if it does not, or if every change is one."""
        if self.desk is None or self.can_change or self.is_ending:
            return ""
        if self.num_failed >= MOST_FAILURES:
            return f"{self.num_failed} changes in a row have failed"
        return self.desk.why_unable or "its script has not said that processes can join it"

    @property
    def leaving(self) -> tuple[int, ...]:
        """Ranks that leave in a change that has been carried out."""
        done = self.change is not None and self.outcome is not None and self.outcome.is_done
        return self.change.gone if done and self.change is not None else ()

    def can_leave(self, going: Collection[str]) -> bool:
        """Whether the processes on leaving devices can leave. The first process leads every change, so it must stay."""
        return self.desk is not None and self.devices[0] not in going

    def is_leaving(self, going: Collection[str]) -> bool:
        """Whether the change in progress releases all leaving devices."""
        change = None if self.is_withdrawn else self.change
        return change is not None and set(going) <= {self.devices[rank] for rank in change.gone}

    def next_change(self, num_devices: int, going: Collection[str] = ()) -> RankChange:
        """The change to another number of devices. Leaving devices are released first, then the last ones."""
        left = [rank for rank, device in enumerate(self.devices) if device in going]
        kept = [rank for rank in range(len(self.seats)) if rank not in left]
        gone = (*left, *kept[num_devices:])
        return RankChange(self._num_changes, len(self.seats), num_devices, gone)

    def begin(self, change: RankChange) -> None:
        """A change was ordered."""
        self.change, self.outcome, self.is_withdrawn, self.is_ready = change, None, False, False
        self.gone = set()
        self._num_changes += 1
        self.ordered_at, self.ordered_timestamp = time.monotonic(), time.time()

    def hear(self) -> ChangeOutcome | None:
        """The outcome of the change in progress, if it has just become known."""
        if self.change is None or self.desk is None or self.outcome is not None or self.is_withdrawn:
            return None
        self.outcome = self.desk.outcome(self.change)
        return self.outcome

    def seat_newcomers(self) -> None:
        """The new processes train."""
        handle, self.newcomer = self.newcomer, None
        if handle is not None:
            first = len(self.seats)
            self.seats += [Seat(handle, index, device, first + index) for index, device in enumerate(self.new_devices)]
        self.new_devices = ()

    def clear_seats(self, ranks: Collection[int]) -> tuple[tuple[str, ...], set[int]]:
        """Processes have left, and others take their ranks; returns their devices, and launches without any."""
        left = [self.seats[rank] for rank in ranks]
        self.seats = [seat for rank, seat in enumerate(self.seats) if rank not in ranks]
        launches = {seat.handle for seat in left}.difference(seat.handle for seat in self.seats)
        return tuple(seat.device for seat in left), launches

    def end_change(self) -> None:
        """The change is over."""
        self.change, self.newcomer, self.new_devices, self.outcome = None, None, (), None

    def rank_of(self, handle: int, index: int) -> int | None:
        """The rank of a process of a launch."""
        return next(
            (rank for rank, seat in enumerate(self.seats) if (seat.handle, seat.index) == (handle, index)), None
        )

    def ranks_of(self, handle: int) -> list[int]:
        """The ranks of a launch."""
        return [rank for rank, seat in enumerate(self.seats) if seat.handle == handle]

    @property
    def has_ended(self) -> bool:
        """Whether no process is left."""
        return self.is_ending and all(handle in self.exits for handle in self.handles)

    def how_ended(self) -> LaunchExit:
        """How all of them together have ended, with one exit code for each rank."""
        trained = [handle for handle in self.exits if handle != self.newcomer]
        first, main = self.exits[trained[0]], self.exits[self.main]
        if len(trained) == 1 and len(main.exit_codes) in (0, len(self.seats)):
            return main
        codes = [_code(self.exits.get(seat.handle), seat.index) for seat in self.seats]
        failed = None
        if first.first_failed is not None:
            failed = self.rank_of(trained[0], first.first_failed)
        ends = [self.exits[handle] for handle in trained]
        return replace(
            main,
            exit_codes=tuple(codes),
            first_failed=failed,
            drained=first.drained,
            killed=any(end.killed for end in ends),
            lost=any(end.lost for end in ends),
            error=next((end.error for end in ends if end.error), ""),
        )


def _code(exit_: LaunchExit | None, index: int) -> int | None:
    return exit_.exit_codes[index] if exit_ is not None and index < len(exit_.exit_codes) else None


def changeable(spec: LaunchSpec, desk: ResizeDesk) -> LaunchSpec:
    """A launch whose number of processes may change while they train."""
    checkpoints = None if spec.checkpoints is None else replace(spec.checkpoints, able_path=desk.able_path)
    return _with_variables(replace(spec, checkpoints=checkpoints), {RESIZE_DIR: desk.folder})


def joining(spec: LaunchSpec, change: RankChange, desk: ResizeDesk) -> LaunchSpec:
    """The launch of the new processes of a change, out of one of all processes."""
    ranks = tuple(spec.ranks[rank] for rank in change.new_ranks)
    variables = {RESIZE_DIR: desk.folder, JOINS: f"{change.number}:{change.before}"}
    return _with_variables(replace(spec, ranks=ranks, checkpoints=None), variables)


def _with_variables(spec: LaunchSpec, variables: dict[str, str]) -> LaunchSpec:
    return replace(spec, ranks=tuple(replace(rank, env={**rank.env, **variables}) for rank in spec.ranks))
