"""The live launches, the trial of each, the launcher, and the time after which no launch begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from syne_hypersched.launch import Launcher, LaunchSpec


class Launches:
    """See the module.

    Parameters
    ----------
    make_launcher
        Makes the launcher from :attr:`callbacks`; called before the first process is started.

    Attributes
    ----------
    callbacks
        The launcher's callbacks, by the argument names of ``make_launcher``.
    launcher
        The launcher; None before the first launch and after :meth:`take_launcher`.
    trial_ids
        The trial of each launch, by the launcher's number.
    is_closing
        Whether all trials are being ended.
    """

    def __init__(self, make_launcher: Callable[..., Launcher]) -> None:
        self.make_launcher = make_launcher
        self.callbacks: Mapping[str, Callable[..., None]] = {}
        self.launcher: Launcher | None = None
        self.trial_ids: dict[int, int] = {}
        self.is_closing = False
        #: When the drain begins and when no process is left, in monotonic seconds.
        self._deadline: tuple[float, float] | None = None

    def set_deadline(self, drain_at: float, kill_at: float) -> None:
        """From ``drain_at`` on (monotonic seconds) nothing is launched any more; at ``kill_at`` no process is left."""
        self._deadline = (drain_at, kill_at)
        if self.launcher is not None:
            self.launcher.set_deadline(drain_at, kill_at)

    def is_too_late(self) -> bool:
        """Whether no launch may begin any more."""
        return self.is_closing or (self._deadline is not None and time.monotonic() >= self._deadline[0])

    def is_server_ready(self) -> bool:
        """Whether the preloading server can start processes at once. It is started now if there was no launch yet."""
        return self._get_launcher().is_ready

    def launch(self, spec: LaunchSpec, trial_id: int) -> int:
        """Starts processes of a trial; returns the launcher's number."""
        handle = self._get_launcher().launch(spec)
        self.trial_ids[handle] = trial_id
        return handle

    def drain(self, handle: int, grace_s: float) -> None:
        """Asks the processes of a launch to checkpoint and exit, and kills them after ``grace_s`` seconds."""
        if self.launcher is not None:
            self.launcher.drain(handle, grace_s)

    def forget(self, handle: int) -> None:
        """A launch has ended."""
        self.trial_ids.pop(handle, None)

    def follow(self, time_attr: str | None, metric: str | None, do_minimize: bool) -> None:
        """Tells the launches which entries of a report are the resource level and the metric."""
        if self.launcher is not None:
            self.launcher.follow(time_attr, metric, do_minimize)

    def take_launcher(self) -> Launcher | None:
        """Hands out the launcher, to be closed. The next launch makes another one."""
        launcher, self.launcher = self.launcher, None
        return launcher

    def _get_launcher(self) -> Launcher:
        if self.launcher is None:
            self.launcher = self.make_launcher(**self.callbacks)
            if self._deadline is not None:
                self.launcher.set_deadline(*self._deadline)
        return self.launcher
