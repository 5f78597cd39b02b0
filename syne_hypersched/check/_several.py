"""Judges whether a script behaves on several devices as on one. Pure functions."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from syne_hypersched._wording import counted
from syne_hypersched.check._rows import Finding
from syne_hypersched.check._stages import Observed
from syne_hypersched.check._trace import written_by_all
from syne_hypersched.contract import BATCH_SIZE

_NO_LAUNCH = "there was no launch on more than 1 device that has reported"


def other_devices(seen: Observed, failed: AbstractSet[str]) -> Finding:
    """Whether a trial continues on several devices.

    Parameters
    ----------
    seen
        All launches.
    failed
        Names of the properties that have failed.
    """
    trace, number = seen.resized, seen.num_devices
    if trace is None or number == 1:
        return "UNKNOWN", "there was no launch on more than 1 device", ""
    if trace.has_failed:
        if "goes on where it was" in failed and seen.resumed is not None and seen.resumed.has_failed:
            return "UNKNOWN", f"on {number} devices as on 1: {trace.end}", ""
        advice = (
            f"Read {trace.log}. The checkpoint must not depend on the number of devices, and all ranks must take "
            "the same steps. A script that does not support ranks needs --processes single."
        )
        return "FAIL", f"on {number} devices: {trace.end}", advice
    if not trace.reports:
        return "UNKNOWN", f"no report on {number} devices: the training may have been finished", ""
    return "PASS", f"{counted(len(trace.reports), 'report')} on {number} devices", ""


def one_writer(seen: Observed, failed: AbstractSet[str]) -> Finding:
    """Whether only one rank writes the checkpoint; see :func:`other_devices`."""
    trace, alone = seen.resized, seen.alone
    if "checkpoint found" in failed:
        return "UNKNOWN", "no checkpoint", ""
    if trace is None or trace.num_devices == 1 or not trace.reports:
        return "UNKNOWN", _NO_LAUNCH, ""
    if trace.num_ranks == 1:
        return "PASS", "one process has all devices", ""
    segments = trace.written()
    if len(segments) < 2:
        return "UNKNOWN", f"only one report on {trace.num_devices} devices", ""
    path = written_by_all(alone.written(), segments, trace.num_ranks)
    if path:
        number = max(written[path] for written in segments)
        advice = (
            "Only the process with RANK 0 may write the checkpoint. A script that does not support ranks needs "
            "--processes single."
        )
        return "FAIL", f"{path} was written {number} times from one report to the next", advice
    return "PASS", f"no file is written more often on {trace.num_devices} devices than on 1", ""


def global_batch(seen: Observed) -> Finding:
    """Whether the global batch is the same on several devices."""
    trace, alone = seen.resized, seen.alone
    if trace is None or trace.num_devices == 1 or not trace.reports:
        return "UNKNOWN", _NO_LAUNCH, ""
    before, after = alone.reports[-1].get(BATCH_SIZE), trace.reports[-1].get(BATCH_SIZE)
    if before is None or after is None:
        return "UNKNOWN", f"the script does not report {BATCH_SIZE}, its global batch", ""
    found = f"{before} on 1 device, {after} on {trace.num_devices}"
    advice = "Divide the global batch by WORLD_SIZE to get the batch of one device."
    return ("PASS" if before == after else "FAIL"), found, advice
