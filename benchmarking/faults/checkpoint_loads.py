"""Says what is wrong with what launches have loaded. Used by ``checkpoint_referee.py``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fault:
    """One place where a rule is broken."""

    rule: str
    message: str


def of_loads(
    trial_id: int, diary: Sequence[Mapping[str, Any]], has_failed: bool, counts: Counter[str]
) -> Iterator[Fault]:
    """Holds what each launch has found against the saves that were completed before."""
    who = f"trial {trial_id}"
    begins = [index for index, line in enumerate(diary) if line["what"] == "begin"]
    #: Epoch of the last whole checkpoint, whether any was ever completed, and whether a save was cut off after it.
    current: int | None = None
    ever, interrupted = False, False
    for index, line in enumerate(diary):
        what = line["what"]
        counts[what] += 1
        if what == "saving":
            interrupted = True
        elif what == "saved":
            current, ever, interrupted = line["epoch"], True, False
        elif what == "brief":
            counts["saved"] += 1
        if what != "begin":
            continue
        state, when = line["state"], f"launch {line['launch']} of {who}"
        if state == "foreign":
            yield Fault("load foreign", f"{when} has found a checkpoint of another trial: {line['why']}")
        elif state == "none" and ever:
            yield Fault("load gone", f"{when} has found no checkpoint, and epoch {current} had been saved")
        elif state == "torn" and ever:
            counts["torn loads"] += 1
            following = next((diary[other] for other in begins if other > index), None)
            went_on = any(other["what"] == "reported" for other in diary[index : _next_begin(begins, index)])
            told = f"{when} has found a torn checkpoint ({line['why']}) after epoch {current} had been saved"
            if following is None:
                if went_on or has_failed:
                    yield Fault("load torn", f"{told}, and {'began anew' if went_on else 'the trial has failed'}")
                else:
                    counts["torn loads at the end"] += 1
            elif following["state"] == "torn" and following["print"] == line["print"]:
                yield Fault("load torn", f"{told}, and so has the next launch")
            elif following["state"] == "none":
                yield Fault("load torn", f"{told}, and the next launch has found none")
            elif went_on and following["state"] == "whole" and following["of_launch"] >= line["launch"]:
                yield Fault("load torn", f"{told}, and began anew, and what it saved then is gone on from")
            else:
                counts["healed"] += 1
        elif state == "torn":
            counts["torn loads before any whole one"] += 1
        elif state == "whole":
            if current is not None and line["epoch"] < current:
                if interrupted:
                    counts["went back after a cut"] += 1
                    counts["epochs gone back"] += current - line["epoch"]
                else:
                    yield Fault(
                        "load back", f"{when} has begun after epoch {line['epoch']}, and {current} had been saved"
                    )
            current, ever = line["epoch"], True
        interrupted = state == "torn"


def _next_begin(begins: Sequence[int], index: int) -> int | None:
    return next((other for other in begins if other > index), None)
