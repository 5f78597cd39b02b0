"""Describes what is in ``best/``, and checks it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syne_hypersched._json_files import read_object
from syne_hypersched._log_tail import LogTail
from syne_hypersched._terminal_text import shown
from syne_hypersched._wording import counted, metric_text
from syne_hypersched.checkpoints import fingerprint, measure_checkpoint
from syne_hypersched.checkpoints.best import ST_CHECKPOINT, published_result
from syne_hypersched.experiments._run import Run
from syne_hypersched.filenames import BEST_DIRNAME, CONFIG_FILENAME, STDOUT_FILENAME
from syne_hypersched.records.events import Event


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
    """The result's entry about the checkpoint; None without one."""

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
        if fault := _fault_of_files(best, best.checkpoint):
            text += f", {fault}"
    if not _is_in_log(run, best):
        return text + f"\nit says {shown(run.metric)} {metric_text(best.value)}, which its trial has never reported"
    if incumbent is not None and _is_better(run, incumbent.value, best.value):
        text += f"\nit has {shown(run.metric)} {metric_text(best.value)}: {_why_not_better(run, best)}"
    if incumbent is not None and _is_better(run, best.value, incumbent.value):
        # The trial was paused at an earlier report, after which it had trained on.
        text += (
            f"\nit has {shown(run.metric)} {metric_text(best.value)}, which the tuner had not received when it ended"
        )
    return text


def _why_not_better(run: Run, best: PublishedBest) -> str:
    """Why a better result is not published."""
    if _is_told(run, best) or not run.is_killed:
        return "a better result has no whole checkpoint" + ("" if run.is_over else " so far")
    return "a better result was not published before the tuner was killed"


def check_best(run: Run) -> Iterator[tuple[int, str]]:
    """Trials and messages for what is wrong with ``best/`` of a run that is over."""
    best, incumbent, last = PublishedBest.of(run), run.incumbent, _last_published(run)
    if best is None:
        if last is not None and last.trial_id is not None:
            what = "best/ is not there" if run.path is None or not (run.path / BEST_DIRNAME).exists() else (
                "best/ has no result that can be read"
            )  # fmt: skip
            yield last.trial_id, f"{what}, although trial {last.trial_id} was published"
        return
    whose = f"best/ has trial {best.trial_id} at level {best.resource:g}"
    known = best.checkpoint
    if known is not None:
        if fault := _fault_of_files(best, known):
            yield best.trial_id, f"{whose}, {fault}"
        elif known.get("fingerprint") not in (None, fingerprint(best.path / "checkpoint")):
            yield best.trial_id, f"{whose}, whose checkpoint was exchanged or changed since it was published"
        level = known.get("level")
        if level is not None and level != best.resource:
            older = "older" if level < best.resource else "newer"
            yield best.trial_id, f"{whose}, whose checkpoint is {older}: of level {level:g}"
    if fault := _fault_of_config(best):
        yield best.trial_id, f"{whose}, {fault}"
    if incumbent is not None and _is_better(run, incumbent.value, best.value) and not _is_told(run, best):
        message = (
            f"{whose} and {shown(run.metric)} {best.value:g}, while trial {incumbent.trial_id} has {incumbent.value:g}"
        )
        yield incumbent.trial_id, message
    elif last is not None and not (_is_of_event(run, best, last) or _is_later(run, best, last)):
        result = last.details["result"]
        yield (
            best.trial_id,
            (
                f"{whose} and {shown(run.metric)} {best.value:g}, while trial {last.trial_id} at level "
                f"{result.get(run.time_attr)} with {result.get(run.metric)} was published last"
            ),
        )


def _fault_of_files(best: PublishedBest, known: dict[str, Any]) -> str:
    """What the number of files of the checkpoint and their bytes show to be wrong; empty if nothing."""
    num_files, num_bytes = best.files
    if not num_files:
        return "and its checkpoint is gone"
    if "num_files" not in known:
        return ""  # it was published by a version that did not count them
    if (num_files, num_bytes) == (known.get("num_files"), known.get("num_bytes")):
        return ""
    was = f"{counted(known.get('num_files', 0), 'file')} with {counted(known.get('num_bytes', 0), 'byte')}"
    return f"whose checkpoint had {was} and has {num_files} with {num_bytes}"


def _fault_of_config(best: PublishedBest) -> str:
    """What is wrong with the configuration; empty if nothing, or if that of the trial is not known."""
    of_trial = read_object(best.path.parent / str(best.trial_id) / CONFIG_FILENAME)
    if of_trial is None:
        return ""
    config = read_object(best.path / CONFIG_FILENAME)
    if config is None:
        return "and its configuration is gone, or cannot be read"
    names = [name for name, value in of_trial.items() if name in config and config[name] != value]
    return f"whose configuration differs from the trial's: {shown(names[0])} differs" if names else ""


def _last_published(run: Run) -> Event | None:
    """The event of the last publication; None without one, or if it belongs to an earlier experiment of this name.

    Virtual trials have no checkpoints, so that nothing of them is published.
    """
    for event in reversed(run.events):
        if event.event == "setup":
            return None
        if event.event == "best" and isinstance(event.details.get("result"), dict):
            return event if "checkpoint" in event.details else None
    return None


def _is_of_event(run: Run, best: PublishedBest, event: Event) -> bool:
    result, checkpoint = event.details["result"], event.details.get("checkpoint")
    values = (event.trial_id, result.get(run.time_attr), result.get(run.metric), checkpoint)
    return values == (best.trial_id, best.resource, best.value, best.checkpoint)


def _is_later(run: Run, best: PublishedBest, event: Event) -> bool:
    """Whether it was published after an event, by a tuner that died, or had no room, before it could write that."""
    value = event.details["result"].get(run.metric)
    is_better = event.details.get("checkpoint") is None or not isinstance(value, (int, float))
    if not is_better and not _is_better(run, best.value, float(value)):
        return False
    if not _log_of(best).is_file():  # nothing is known of its reports
        return best.trial_id in (run.configs or {})
    return _is_in_log(run, best)


def _log_of(best: PublishedBest) -> Path:
    return best.path.parent / str(best.trial_id) / STDOUT_FILENAME


def _is_in_log(run: Run, best: PublishedBest) -> bool:
    """Whether the trial has reported the published level and metric, as far as that is known."""
    reports = [
        (raw.values.get(run.time_attr), raw.values.get(run.metric))
        for raw in LogTail(_log_of(best)).reports(to_the_end=True)
    ]
    return not reports or (best.resource, best.value) in reports


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
