"""Gives devices of this machine back in the middle of a run, and takes them again, as somebody outside asks.

A thread of its own looks for requests, so that devices are free in time even while the tuner is busy.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from syne_hypersched import checks
from syne_hypersched.backends.local._fleet import Fleet
from syne_hypersched.backends.local._pool_requests import PoolRequest, PoolSignals, RequestFile, parse_request
from syne_hypersched.backends.machine.claims import give_back, take_again
from syne_hypersched.backends.machine.device_locks import DeviceLocks
from syne_hypersched.backends.machine.discovery import Devices, installed_gpus
from syne_hypersched.backends.machine.gpu_health import GpuHealth
from syne_hypersched.backends.shared.events import EventLog
from syne_hypersched.backends.shared.shares import gpus_of
from syne_hypersched.filenames import POOL_FILENAME

logger = logging.getLogger(__name__)

#: Seconds from one look at the file and the signals to the next, and at GPUs and at devices that others hold.
PERIOD_S, SLOW_PERIOD_S = 0.1, 1.0


class PoolControl:
    """The thread that looks for requests.

    Parameters
    ----------
    look
        Called every :const:`PERIOD_S` seconds, with whether it is time for what is done every :const:`SLOW_PERIOD_S`.
    """

    def __init__(self, look: Callable[[bool], None]) -> None:
        self._look = look
        self._ended: threading.Event | None = None

    @property
    def is_new(self) -> bool:
        """Whether the thread does not run."""
        return self._ended is None

    def begin(self) -> None:
        """Starts the thread, unless it runs."""
        if self._ended is None:
            self._ended = threading.Event()
            arguments = (self._ended,)
            threading.Thread(target=self._run, args=arguments, name="syne-hypersched-pool", daemon=True).start()

    def end(self) -> None:
        """Ends the thread; does not wait for it."""
        if self._ended is not None:
            self._ended.set()
            self._ended = None

    def _run(self, ended: threading.Event) -> None:
        number = 0
        while not ended.wait(PERIOD_S):
            number += 1
            try:
                self._look(number % round(SLOW_PERIOD_S / PERIOD_S) == 0)
            except Exception:  # the run must not lose its devices, nor this thread, by a request
                logger.exception("A request for devices could not be carried out")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ended": None}


class PoolBackend:
    """The part of :class:`~syne_hypersched.ElasticLocalBackend` that gives devices back and takes them again."""

    devices: Devices
    num_devices: int
    _fleet: Fleet
    _locks: DeviceLocks
    _events: EventLog
    _experiment_path: Path
    _share_devices: bool | None
    _request: PoolRequest | None
    _health: GpuHealth | None

    def set_devices_present(self, wanted: int | Sequence[str], reason: str = "") -> None:
        """Sets how many devices, or which ones, may be used. Returns at once; may be called from any thread.

        What runs on devices that go is drained, and continues on the others or waits. They are free after ``grace_s``
        seconds at the latest. Devices that come back are used at once.

        Parameters
        ----------
        wanted
            A number from 0 to ``num_devices``, or names of devices.
        reason
            Why, for ``events.jsonl``.

        Raises
        ------
        TypeError, ValueError
            ``wanted`` is neither.
        """
        self._request = PoolRequest(wanted if isinstance(wanted, int) else tuple(wanted), reason)
        self._fleet.devices.set_present(self._request.wanted, reason, self._may_join)

    def _make_pool_control(self) -> None:
        self._pool_control = PoolControl(self._look_for_requests)
        self._pool_signals = PoolSignals()
        self._pool_file = RequestFile(self._experiment_path / POOL_FILENAME)
        self._request = None
        self._signals_seen = 0
        self._health = None
        self._has_warned_of_holders = False

    def _begin_pool_control(self) -> None:
        """Called whenever a trial is started."""
        if self._pool_control.is_new and self._health is not None and not self._health.is_open:
            self._health = None  # of the tuner that was stored
        self._pool_signals.begin()
        self._pool_control.begin()

    def _end_pool_control(self) -> None:
        self._pool_control.end()
        self._pool_signals.end()
        health, self._health = self._health, None
        if health is not None:
            health.close()

    def _look_for_requests(self, is_slow: bool) -> None:
        path = self._experiment_path / POOL_FILENAME
        if self._pool_file.path != path:
            self._pool_file = RequestFile(path)
        text = self._pool_file.read_new()
        if text is not None:
            self._answer(text)
        self._obey_signals()
        if is_slow:
            if self.devices.are_gpus:
                self._look_at_gpus()
            if self._request is not None and self._is_short(self._request):
                with contextlib.suppress(TypeError, ValueError):
                    self._fleet.devices.set_present(self._request.wanted, self._request.reason, self._may_join)
        if self._fleet.pool.num_present < len(self._fleet.pool):
            self._fleet.devices.tell_gone(self._give_back)

    def _check_shares(self, shares_per_gpu: object) -> int:
        """Checks how GPUs are to be shared."""
        number = checks.integer("shares_per_gpu", shares_per_gpu, at_least=1)
        if number > 1 and not self.devices.are_gpus:
            raise ValueError(
                f"shares_per_gpu must be 1 for CPU slots, of which there may be any number, but got {number}"
            )
        return number

    def _give_back(self, gone: Sequence[str]) -> None:
        """Lets other experiments have the devices, GPUs that are shared once all shares are gone."""
        kept = gpus_of(device for device in self._fleet.pool.devices if device not in gone)
        give_back(self.devices, [gpu for gpu in gpus_of(gone) if gpu not in kept], self._locks)

    def _answer(self, text: str) -> None:
        """Carries out what the file says, and writes into the events that it was done or why it cannot be."""
        name = None
        try:
            self._request = parse_request(text)
            name = self._request.request
            self._fleet.devices.set_present(self._request.wanted, self._request.reason or POOL_FILENAME, self._may_join)
        except (TypeError, ValueError) as error:
            logger.warning("%s is left out: %s", self._pool_file.path, error)
            self._events.write("pool", reason=str(error), request=name, is_done=False)
        else:
            pool = self._fleet.pool
            self._events.write("pool", devices=pool.retiring, request=name, is_done=True, present=pool.num_present)

    def _obey_signals(self) -> None:
        total = self._pool_signals.total()
        change, self._signals_seen = total - self._signals_seen, total
        if change:
            present = self._fleet.pool.num_present
            self._request = PoolRequest(max(0, min(self.num_devices, present + change)), "a signal")
            self._fleet.devices.set_present(
                self._request.wanted, "SIGUSR1" if change < 0 else "SIGUSR2", self._may_join
            )

    def _look_at_gpus(self) -> None:
        if self._health is None:
            self._health = GpuHealth(self.devices.names, installed_gpus())
        failed = self._health.look()
        for device, reason in failed.items():
            logger.error(
                "GPU %s is not used any more: NVML reports %s. Its trial continues on another one from its "
                "last checkpoint.", device, reason,
            )  # fmt: skip
            self._fleet.devices.lose(
                [d for d in self._fleet.pool.devices if gpus_of([d]) == (device,)], reason, broken=True
            )

    def _is_short(self, request: PoolRequest) -> bool:
        wanted = request.wanted
        pool = self._fleet.pool
        return pool.num_present < (wanted if isinstance(wanted, int) else len(set(wanted)))

    def _may_join(self, devices: Sequence[str]) -> Sequence[str]:
        """Those of the devices that no other experiment holds now."""
        free, holders = take_again(self.devices, devices, self._locks, self._experiment_path.name, self._share_devices)
        if holders and not self._has_warned_of_holders:
            self._has_warned_of_holders = True
            logger.warning("%s: they are taken as soon as they are free.", holders)
        return [device for device in devices if gpus_of([device])[0] in free]
