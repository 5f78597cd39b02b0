"""Which GPUs have failed, as far as NVML says: critical Xid errors, and memory errors that could not be corrected."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from syne_hypersched._wording import counted

logger = logging.getLogger(__name__)

HARMLESS_XIDS = frozenset({13, 31, 43, 45, 68, 109})
"""Xid errors that a program causes, such as an access beyond its memory: the next program runs all the same."""

_MOST_EVENTS = 100
"""Events that are taken in one look; the others are taken in the next."""


class GpuHealth:
    """Asks NVML for errors of GPUs that were not there at the start.

    Without ``nvidia-ml-py``, or without a driver, no GPU ever fails. Of a GPU that is divided (MIG) an error concerns
    all its instances.

    Parameters
    ----------
    names
        The devices, as tokens for ``CUDA_VISIBLE_DEVICES``.
    installed
        UUIDs of all GPUs and instances, as indices count them.
    """

    def __init__(self, names: Sequence[str], installed: Sequence[str]) -> None:
        #: Names of the devices that belong to each GPU, by its UUID.
        self._names: dict[str, list[str]] = {}
        self._handles: dict[str, Any] = {}
        #: Memory errors of each GPU that could not be corrected, as counted last.
        self._uncorrected: dict[str, int] = {}
        self._nvml: Any = None
        self._events: Any = None
        try:
            import pynvml
        except ImportError:
            return
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:
            return
        self._nvml = pynvml
        with contextlib.suppress(pynvml.NVMLError):
            self._events = pynvml.nvmlEventSetCreate()
        wanted = {_uuid(name, installed): name for name in names}
        for index in range(pynvml.nvmlDeviceGetCount()):
            with contextlib.suppress(pynvml.NVMLError):
                self._watch(pynvml.nvmlDeviceGetHandleByIndex(index), wanted)

    @property
    def is_open(self) -> bool:
        """Whether NVML is asked. It is not without it, after :meth:`close`, and in a copy in another process."""
        return self._nvml is not None

    def look(self) -> Mapping[str, str]:
        """The devices that have failed since the last look, each with the reason in words."""
        if self._nvml is None:
            return {}
        failed: dict[str, str] = {}
        for uuid, reason in [*self._xids(), *self._memory_errors()]:
            for name in self._names.get(uuid, ()):
                failed.setdefault(name, reason)
        return failed

    def close(self) -> None:
        """Ends the connection to NVML."""
        if self._nvml is not None:
            with contextlib.suppress(self._nvml.NVMLError):
                if self._events is not None:
                    self._nvml.nvmlEventSetFree(self._events)
                self._nvml.nvmlShutdown()
            self._nvml = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_names": {}, "_handles": {}, "_uncorrected": {}, "_nvml": None, "_events": None}

    def _watch(self, handle: Any, wanted: Mapping[str, str]) -> None:
        nvml = self._nvml
        uuid = _text(nvml.nvmlDeviceGetUUID(handle))
        parts = [uuid]
        with contextlib.suppress(nvml.NVMLError):  # most GPUs know no MIG
            for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
                with contextlib.suppress(nvml.NVMLError):  # not every number is taken
                    part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
                    parts.append(_text(nvml.nvmlDeviceGetUUID(part)))
        names = [wanted[part] for part in parts if part in wanted]
        if not names:
            return
        self._names[uuid], self._handles[uuid] = names, handle
        self._uncorrected[uuid] = self._count(handle)
        if self._events is not None:
            kinds = nvml.nvmlEventTypeXidCriticalError | nvml.nvmlEventTypeDoubleBitEccError
            try:
                nvml.nvmlDeviceRegisterEvents(handle, kinds, self._events)
            except nvml.NVMLError as error:
                logger.debug("NVML tells of no errors of GPU %s: %s", uuid, error)

    def _xids(self) -> list[tuple[str, str]]:
        nvml, found = self._nvml, []
        if self._events is None:
            return []
        for _ in range(_MOST_EVENTS):
            try:
                event = nvml.nvmlEventSetWait_v2(self._events, 0)
            except nvml.NVMLError:  # no more events
                break
            uuid = _text(nvml.nvmlDeviceGetUUID(event.device))
            if event.eventType & nvml.nvmlEventTypeDoubleBitEccError:
                found.append((uuid, "a memory error (ECC) that could not be corrected"))
            elif event.eventData not in HARMLESS_XIDS:
                found.append((uuid, f"Xid error {event.eventData}"))
        return found

    def _memory_errors(self) -> list[tuple[str, str]]:
        found = []
        for uuid, handle in self._handles.items():
            before, now = self._uncorrected[uuid], self._count(handle)
            if now > before:
                self._uncorrected[uuid] = now
                found.append((uuid, f"{counted(now - before, 'memory error')} (ECC) that could not be corrected"))
        return found

    def _count(self, handle: Any) -> int:
        nvml = self._nvml
        try:
            return int(
                nvml.nvmlDeviceGetTotalEccErrors(
                    handle, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
                )
            )
        except nvml.NVMLError:  # most GPUs for consumers have no ECC
            return 0


def gpu_memory(name: str) -> tuple[int, int] | None:
    """Free and total memory of a GPU in bytes, as NVML says; None where it does not.

    Parameters
    ----------
    name
        The GPU, as a token for ``CUDA_VISIBLE_DEVICES``.
    """
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        handle = (
            pynvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit() else pynvml.nvmlDeviceGetHandleByUUID(name)
        )
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        return int(memory.free), int(memory.total)
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def _uuid(name: str, installed: Sequence[str]) -> str:
    if name.isdigit() and int(name) < len(installed):
        return installed[int(name)]
    return next((uuid for uuid in installed if uuid.startswith(name)), name)


def _text(uuid: str | bytes) -> str:
    return uuid.decode() if isinstance(uuid, bytes) else uuid
