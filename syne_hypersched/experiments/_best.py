"""Describes what is in ``best/``, and checks it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syne_hypersched._terminal_text import shown
from syne_hypersched._wording import counted, metric_text
from syne_hypersched.checkpoints.best import ST_CHECKPOINT, measure_checkpoint, published_result
from syne_hypersched.experiments._run import Run
from syne_hypersched.filenames import BEST_DIRNAME


@dataclass(frozen=True)
class PublishedBest:
    """What an experiment has published."""

    path: Path
    """``best/``."""

    trial_id: int
    resource: float
    value: float
    """The trial, the resource level and the metric of the result."""

    checkpoint: dict[str, Any] | None
    """What the result says of the checkpoint; None: there is none."""

    files: tuple[int, int]
    """How many files the checkpoint has, and bytes."""

    @classmethod
    def of(cls, run: Run) -> PublishedBest | None:
        """Reads it; None if there is none, or it cannot be read."""
        result = None if run.path is None else published_result(run.path)
        if run.path is None or result is None:
            return None
        try:
            trial_id, resource, value = result["trial_id"], float(result[run.time_attr]), float(result[run.metric])
        except (KeyError, TypeError, ValueError):
            return None
        path = run.path / BEST_DIRNAME
        known = result.get(ST_CHECKPOINT)
        files = measure_checkpoint(path / "checkpoint")
        return cls(path, trial_id, resource, value, known if isinstance(known, dict) else None, files)


def describe_best(run: Run) -> str:
    """The path of the best checkpoint, and its report; empty if nothing was published."""
    best, incumbent = PublishedBest.of(run), run.incumbent
    if best is None:
        return ""
    whose = f"trial {best.trial_id} at {shown(run.time_attr)} {best.resource:g}"
    if best.checkpoint is None:
        text = f"configuration and result, but no checkpoint: {best.path}\nno whole checkpoint of {whose} was there"
    else:
        match: Any = best.checkpoint.get("match")
        newer = "" if match == "exact" else f", or up to {counted(match, 'report')} newer"
        text = f"checkpoint, configuration and result: {best.path}\nthe checkpoint is of {whose}{newer}"
    if incumbent is not None and _is_better(run, incumbent.value, best.value):
        text += f"\nit has {shown(run.metric)} {metric_text(best.value)}: what was better has left no whole checkpoint"
    if incumbent is not None and _is_better(run, best.value, incumbent.value):
        # The trial was paused at an earlier report, after which it had trained on.
        text += (
            f"\nit has {shown(run.metric)} {metric_text(best.value)}, which the tuner had not received when it ended"
        )
    return text


def check_best(run: Run) -> Iterator[tuple[int, str]]:
    """Trials and messages for what is wrong with ``best/`` of a run that is over."""
    best, incumbent = PublishedBest.of(run), run.incumbent
    if best is None:
        return
    whose = f"best/ has trial {best.trial_id} at level {best.resource:g}"
    known = best.checkpoint
    if known is not None:
        num_files, num_bytes = best.files
        if not num_files:
            yield best.trial_id, f"{whose}, and its checkpoint is gone"
        elif (num_files, num_bytes) != (known.get("num_files"), known.get("num_bytes")):
            was = f"{counted(known.get('num_files', 0), 'file')} with {counted(known.get('num_bytes', 0), 'byte')}"
            yield best.trial_id, f"{whose}, whose checkpoint had {was} and has {num_files} with {num_bytes}"
        level = known.get("level")
        if level is not None and level != best.resource:
            older = "older" if level < best.resource else "newer"
            yield best.trial_id, f"{whose}, whose checkpoint is {older}: of level {level:g}"
    if incumbent is not None and _is_better(run, incumbent.value, best.value) and not _is_told(run, best):
        message = (
            f"{whose} and {shown(run.metric)} {best.value:g}, while trial {incumbent.trial_id} has {incumbent.value:g}"
        )
        yield incumbent.trial_id, message


def _is_better(run: Run, value: float, other: float) -> bool:
    return value < other if run.do_minimize else value > other


def _is_told(run: Run, best: PublishedBest) -> bool:
    """Whether an event says why something better is not published, or only without a checkpoint."""
    for event in run.events:
        has_none = event.event in ("unpublished", "best") and event.details.get("checkpoint") is None
        value = event.details.get("result", {}).get(run.metric) if has_none else None
        if isinstance(value, (int, float)) and math.isfinite(value) and _is_better(run, float(value), best.value):
            return True
    return False
