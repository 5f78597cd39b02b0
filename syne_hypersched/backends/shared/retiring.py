"""Chooses the devices to remove when the pool shrinks."""

from __future__ import annotations

from collections.abc import Collection

from syne_hypersched.backends.shared.devices import DevicePool


def choose_retiring(
    pool: DevicePool, num_devices: int, spared: int | None = None, leading: Collection[str] = ()
) -> tuple[str, ...]:
    """Chooses devices to remove. As few trials as possible are drained, and each loses as few devices as possible.

    Free ones first; then those of trials that hold several and continue on fewer, the largest first, down to one each;
    then those of trials that have to wait, first those that held a single one. Among equal trials the last one is
    chosen.

    Parameters
    ----------
    pool
        The devices.
    num_devices
        Number of devices to remove.
    spared
        A trial that keeps its last device as long as another trial could lose one: the incumbent.
    leading
        Devices of processes that lead the others of their trial, which cannot go on without them: of its devices, a
        trial loses these last.

    Returns
    -------
    tuple of str
        The devices; fewer than ``num_devices`` where there are not as many.
    """
    free, holders = pool.free, pool.holders
    chosen = list(free[max(0, len(free) - num_devices) :])[::-1]
    retiring = set(pool.retiring)
    left = {trial_id: [device for device in held if device not in retiring] for trial_id, held in holders.items()}
    left = {trial_id: sorted(held, key=lambda device: device not in leading) for trial_id, held in left.items() if held}

    def rank(trial_id: int) -> tuple[bool, bool, int, int]:
        kept, held = len(left[trial_id]), len(holders[trial_id])
        if kept > 1:
            # One that is drained already gives more without another drain.
            return True, kept < held, kept, trial_id
        return False, trial_id != spared, -held, trial_id

    while len(chosen) < num_devices and left:
        trial_id = max(left, key=rank)
        chosen.append(left[trial_id].pop())
        if not left[trial_id]:
            del left[trial_id]
    return tuple(chosen)
