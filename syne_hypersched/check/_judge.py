"""Judges, for each property, whether a script has it, and tells what to change if not. Pure functions."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Any

from syne_hypersched import checks
from syne_hypersched._wording import counted
from syne_hypersched.check._curves import (
    CurveNames,
    allowed,
    apart,
    curve,
    find_names,
    goes_back,
    level_sizes,
    levels,
    why_no_metric,
    why_no_resource,
    within_an_epoch,
)
from syne_hypersched.check._rows import CheckRow, Finding
from syne_hypersched.check._several import global_batch, one_writer, other_devices
from syne_hypersched.check._stages import Observed
from syne_hypersched.check._trace import LaunchTrace, code_text
from syne_hypersched.contract import EXIT_DRAINED

#: Exit codes of a correct end after SIGTERM: the script has handled the signal or died of it.
_LEFT = (0, EXIT_DRAINED, -signal.SIGTERM, 128 + signal.SIGTERM)


class Judge:
    """Judges the observed launches.

    Parameters
    ----------
    seen
        All launches.
    names
        Names of the resource and the metric.
    grace_s
        Seconds from SIGTERM to SIGKILL.
    tolerance
        Share of the range of the undisturbed curve by which other curves may differ.
    """

    def __init__(self, seen: Observed, names: CurveNames, grace_s: float, tolerance: float) -> None:
        # Without reports of the undisturbed launch, nothing can be compared.
        self._seen, self._names = seen if seen.alone.reports else Observed(seen.alone), names
        self._grace_s, self._tolerance = grace_s, tolerance
        self._alone = curve(seen.alone.reports, names)
        self._levels = levels(seen.alone.reports, names.resource)
        #: Whether the script differs from run to run even if it is not disturbed.
        early = (self._seen.terminated, self._seen.killed)
        self._repeats = [
            curve(trace.reports[: trace.num_before_signal], names)
            for trace in early
            if trace is not None and trace.num_before_signal is not None
        ]

    def rows(self) -> list[CheckRow]:
        """One row for each property."""
        properties: dict[str, Callable[[], Finding]] = {
            "runs": self._runs,
            "reports": self._reports,
            "checkpoint found": self._checkpoint,
            "checkpoint before report": self._saved_first,
            "leaves on SIGTERM": self._leaves,
            "only whole epochs reported": self._whole_epochs,
            "goes on where it was": self._goes_on,
            "other number of devices": lambda: other_devices(self._seen, self._failed),
            "one rank writes": lambda: one_writer(self._seen, self._failed),
            "global batch kept": lambda: global_batch(self._seen),
            "whole after a kill in a save": self._whole,
            "curve as undisturbed": self._curve,
        }
        self._failed: set[str] = set()
        rows = []
        for name, judge in properties.items():
            status, found, advice = judge()
            if status == "FAIL":
                self._failed.add(name)
                rows.append(CheckRow(name, status, found, advice, self._lines(name)))
                continue
            if status == "UNKNOWN" and name != "reports" and ("runs" in self._failed or not self._seen.alone.reports):
                found = f"not tried, because the script did not {'run' if 'runs' in self._failed else 'report'}"
            rows.append(CheckRow(name, status, found))
        return rows

    def _lines(self, name: str) -> tuple[str, ...]:
        """The last lines of the log of the launch that has shown the failure."""
        seen = self._seen
        of_rows: dict[str, list[LaunchTrace | None]] = {
            "runs": [seen.alone], "leaves on SIGTERM": [seen.terminated], "goes on where it was": [seen.resumed],
            "other number of devices": [seen.resized],
            "whole after a kill in a save": [seen.restarted, *(trace for _, trace in seen.torn)],
        }  # fmt: skip
        return next((trace.last_lines for trace in of_rows.get(name, []) if trace is not None and trace.has_failed), ())

    # One method for each property.

    def _runs(self) -> Finding:
        alone = self._seen.alone
        if alone.exit_code not in (None, 0):
            words = alone.last_words
            if "--st_checkpoint_dir" in words and "argument" in words:
                advice = (
                    "Accept the option --st_checkpoint_dir, the folder for checkpoints. Or put {st_checkpoint_dir} "
                    "into the options where the script expects the folder."
                )
            else:
                advice = f"Read {alone.log}: the script must run before it can be tuned."
            return "FAIL", alone.end, advice
        if alone.is_silent:
            advice = "Give options with which an epoch is short, or a larger --timeout-s."
            return "FAIL", f"no report for too long, after {len(alone.reports)} of them", advice
        return "PASS", f"{counted(len(alone.reports), 'report')} on 1 device", ""

    def _reports(self) -> Finding:
        reports, names = self._seen.alone.reports, self._names
        if not reports:
            if "runs" in self._failed:
                return "UNKNOWN", "no report was made before it ended", ""
            advice = (
                "Create syne_tune.Reporter() once, and call report(epoch=..., loss=...) after each epoch. For Hugging "
                "Face, Lightning, XGBoost and LightGBM, there are callbacks that report (syne_hypersched.integrations)."
            )
            return "FAIL", "no report", advice
        why = why_no_resource(reports, names.resource) if names.resource else "no entry counts the epochs"
        if why:
            advice = "Report the number of finished epochs: 1, 2, 3... over all launches. --resource names the entry."
            return "FAIL", why, advice
        why = why_no_metric(reports, names.metric, names.resource) if names.metric else "no entry is a metric"
        if why:
            return "FAIL", why, "Report the metric as a finite number in every report; --metric names the entry."
        others = [trace.reports for trace in (self._seen.resized, self._seen.restarted) if trace and trace.reports]
        for other in others:
            why = why_no_metric(other, names.metric, names.resource)
            if why:
                return "FAIL", f"after a relaunch, {why}", "Report the same entries in every launch."
        return "PASS", f"metric {names.metric}, resource {names.resource}", ""

    def _checkpoint(self) -> Finding:
        alone = self._seen.alone
        if not alone.reports:
            return "UNKNOWN", "no report", ""
        saved = [change for change in alone.changes if change.kind in ("closed", "moved", "lost")]
        if not saved:
            advice = (
                "Save the whole state of the training to the folder --st_checkpoint_dir after each epoch. Without a "
                "checkpoint, the script starts from the beginning after every pause and resize."
            )
            return "FAIL", "nothing was written to the checkpoint folder", advice
        names = sorted({change.path for change in saved})
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return "PASS", f"{', '.join(names[:3])}{more}", ""

    def _per_level(self) -> int:
        """Number of reports of a level: a script may report its training loss and its validation loss separately."""
        return max(level_sizes(self._seen.alone.reports, self._names.resource), default=1)

    def _saved_first(self) -> Finding:
        alone = self._seen.alone
        if "checkpoint found" in self._failed or not alone.reports:
            return "UNKNOWN", "no checkpoint", ""
        groups = level_sizes(alone.reports, self._names.resource)
        if len(groups) > 1 and groups[-1] < max(groups):
            groups.pop()  # the launch was ended between two reports of a level
        lasts = [sum(groups[: number + 1]) - 1 for number in range(len(groups))]
        found = [alone.saved_before(index, number) for index, number in zip(lasts, groups, strict=True)]
        missing = [index + 1 for index, saved in zip(lasts, found, strict=True) if saved is False]
        if missing:
            listed = ", ".join(map(str, missing))
            advice = "Save before each report: SIGTERM may follow a report, and best/ holds what was saved."
            return "FAIL", f"nothing was saved before report {listed}", advice
        if None in found:
            return "UNKNOWN", "the order of saves and reports could not be seen", ""
        return "PASS", f"a save before each of {counted(len(found), 'report')}", ""

    def _leaves(self) -> Finding:
        trace = self._seen.terminated
        if trace is None or trace.leave_s is None:
            return "UNKNOWN", "no SIGTERM was sent: give options with which there are at least 2 reports", ""
        advice = (
            "Do not ignore SIGTERM and do not go on training: save within the grace period and exit with "
            f"{EXIT_DRAINED}, or do not handle SIGTERM. --grace-s is the backend's grace_s."
        )
        num_late = len(self._after_signal(trace))
        if trace.was_killed:
            return "FAIL", f"still running {self._grace_s:g} s after SIGTERM", advice
        if num_late > self._per_level():
            return "FAIL", f"it went on training for {counted(num_late, 'report')} after SIGTERM", advice
        if trace.exit_code not in _LEFT:
            advice = f"After SIGTERM, exit with {EXIT_DRAINED}; an error at that moment may cost the checkpoint."
            return "FAIL", f"after SIGTERM, {trace.end}", advice
        return "PASS", f"{trace.leave_s:.2f} s after SIGTERM, with exit code {code_text(trace.exit_code)}", ""

    @staticmethod
    def _after_signal(trace: LaunchTrace) -> tuple[Mapping[str, Any], ...]:
        """The reports after SIGTERM. If a process died of SIGTERM, it made all its reports before."""
        return () if trace.exit_code == -signal.SIGTERM else trace.reports[trace.num_before_signal or 0 :]

    def _whole_epochs(self) -> Finding:
        trace = self._seen.terminated
        if trace is None or trace.num_before_signal is None:
            return "UNKNOWN", "no SIGTERM was sent", ""
        late = self._after_signal(trace)
        if not late:
            return "PASS", "no report after SIGTERM", ""
        advice = "After SIGTERM in the middle of an epoch, save and exit without evaluating or reporting."
        num_before = len(trace.reports) - len(late)
        if num_before and late[0].get(self._names.resource) == trace.reports[num_before - 1].get(self._names.resource):
            late = late[1:] if self._per_level() > 1 else late  # this is the second report of an epoch
        before = set(curve(trace.reports[:num_before], self._names))
        found = curve(late, self._names)
        for level in (report.get(self._names.resource) for report in late):
            if level in before or not checks.is_number(level) or level != int(level):
                return "FAIL", f"after SIGTERM it reported {self._names.resource} {level}", advice
        worst = apart(found, self._alone)
        if worst is None:
            return "UNKNOWN", "it reported an epoch that the undisturbed launch has not reached", ""
        if worst.distance > self._limit(1):
            return "FAIL", f"after SIGTERM it reported {self._differs(worst)}", advice
        return "PASS", f"it finished {self._names.resource} {worst.level:g} after SIGTERM", ""

    def _goes_on(self) -> Finding:
        if "checkpoint found" in self._failed:
            return "UNKNOWN", "no checkpoint", ""
        seen = self._seen
        if seen.resumed is not None and seen.resumed.has_failed and seen.num_resumed:
            advice = (
                f"Read {seen.resumed.log}. A launch must be able to load the checkpoint that an earlier launch has "
                "saved in --st_checkpoint_dir, and to continue training."
            )
            return "FAIL", f"a relaunch on 1 device: {seen.resumed.end}", advice
        pairs = [(seen.alone.reports[: seen.num_resumed], seen.resumed)]
        if seen.terminated is not None and not seen.terminated.may_lack_a_report:
            pairs.insert(0, (seen.terminated.reports, seen.resized))
        if "leaves on SIGTERM" in self._failed:  # the launch may have been killed at any point
            pairs.reverse()
        for before, after in pairs:
            if before and after is not None and after.reports:
                return self._resume(before, after)
        return "UNKNOWN", "no relaunch has reported from a checkpoint that certainly belongs to the last report", ""

    def _resume(self, before: tuple[Mapping[str, Any], ...], after: LaunchTrace) -> Finding:
        name = self._names.resource
        last, first = before[-1].get(name), after.reports[0].get(name)
        if not checks.is_number(last) or not checks.is_number(first) or len(self._levels) < 2:
            return "UNKNOWN", "the resource is not known", ""
        begin, step = self._levels[0], self._levels[1] - self._levels[0]
        if before[0].get(name) != begin:
            advice = "Read and write checkpoints only below --st_checkpoint_dir, which no other trial uses."
            return "FAIL", f"a new trial began at {name} {before[0].get(name)}", advice
        where = f"{name} {last:g} reported, then {name} {first:g} after the relaunch"
        back = goes_back(after.reports, name)
        if back is not None:
            advice = "Load the checkpoint in --st_checkpoint_dir if there is one, with the number of finished epochs."
            return "FAIL", f"after the relaunch, {name} {back[0]:g} was reported and then {name} {back[1]:g}", advice
        if first == last + step:
            return "PASS", where, ""
        if first == last and (after.saved_before(0) is not True or self._per_level() > 1):
            return "PASS", f"{where}, with the report of the checkpoint", ""
        if first > last + step:
            advice = f"Store the number of finished epochs in the checkpoint, and continue with the next {name}."
            return "FAIL", f"{where}: levels in between are missing", advice
        if first == begin:
            advice = "Load the checkpoint in --st_checkpoint_dir if there is one, with the number of finished epochs."
            return "FAIL", f"{where}: it started from the beginning", advice
        return "FAIL", f"{where}: epochs are trained again", "Save in every epoch, and load the newest checkpoint."

    def _whole(self) -> Finding:
        if self._failed & {"checkpoint found", "goes on where it was"}:
            return "UNKNOWN", "it does not continue from a checkpoint", ""
        seen = self._seen
        if seen.killed is None or seen.restarted is None:
            return "UNKNOWN", "no save was seen after a report", ""
        cases = [("a kill in a save", seen.killed.reports, seen.restarted)]
        cases += [(what, seen.alone.reports[: seen.num_torn], trace) for what, trace in seen.torn]
        for what, before, trace in cases:
            problem = self._torn_problem(before, trace)
            if problem:
                advice = (
                    "Write to a temporary file, then call os.replace. If a checkpoint has several files, fill a "
                    "temporary folder, rename it in one step, and only then remove the old one (docs/checkpoints.md)."
                )
                return "FAIL", f"{what}: {problem}", advice
        if not seen.num_torn and not seen.killed.is_in_save(seen.alone):
            return "UNKNOWN", "no kill came in the middle of a save: each came too late", ""
        also = f", and {counted(len(seen.torn), 'other state')}" if seen.torn else ""
        return "PASS", f"went on after a kill in a save{also}", ""

    def _torn_problem(self, before: tuple[Mapping[str, Any], ...], trace: LaunchTrace) -> str:
        """What is wrong with a launch after a kill during a save; empty if nothing is wrong."""
        if trace.exit_code not in (None, 0):
            return f"the next launch ended with {trace.end}"
        if not trace.reports:
            return "the next launch did not report" if trace.is_silent else ""
        last, first = before[-1].get(self._names.resource), trace.reports[0].get(self._names.resource)
        if not checks.is_number(last) or not checks.is_number(first) or len(self._levels) < 2:
            return ""
        step = self._levels[1] - self._levels[0]
        where = f"after {self._names.resource} {last:g} came {first:g}"
        if first > last + 2 * step:
            return where
        back = goes_back(trace.reports, self._names.resource)
        if back is not None:
            return f"after {self._names.resource} {back[0]:g} came {back[1]:g}"
        again = first < last or (first == last and trace.saved_before(0) is True)
        if again and "checkpoint before report" not in self._failed:
            return f"{where}: epochs are trained again"
        if self._levels[0] == first < last:
            return f"{where}: it started from the beginning"
        worst = apart(curve(trace.reports, self._names), self._alone)
        if worst is not None and worst.distance > self._limit(1) and not self._curve_is_bad():
            return f"{self._differs(worst)}: the state mixes two checkpoints"
        return ""

    def _curve_is_bad(self) -> bool:
        """Whether the curve differs even after an ordinary relaunch."""
        trace = self._seen.resumed
        worst = None if trace is None else apart(curve(trace.reports, self._names), self._alone)
        return worst is not None and worst.distance > self._limit(1)

    def _curve(self) -> Finding:
        if self._failed & {"checkpoint found", "reports", "goes on where it was"} or not self._names.metric:
            return "UNKNOWN", "it does not continue from a checkpoint with a metric", ""
        compared = 0
        advice = (
            "Store everything that the training needs in the checkpoint: weights, optimiser, learning rate schedule, "
            "and random generators (or derive the order of the data from seed and epoch). --tolerance sets the limit."
        )
        for trace in (self._seen.resized, self._seen.resumed):
            if trace is None or ("global batch kept" in self._failed and trace.num_devices > 1):
                continue
            worst = apart(curve(trace.reports, self._names), self._alone)
            if worst is None:
                continue
            compared += 1
            is_near = trace.num_devices > 1 and within_an_epoch(worst, self._alone)
            if worst.distance > self._limit(trace.num_devices) and not is_near:
                where = f"on {trace.num_devices} devices" if trace.num_devices > 1 else "after a relaunch"
                return "FAIL", f"{where}, {self._differs(worst)}", advice
        if not compared:
            return "UNKNOWN", "no level was reached both with and without a relaunch", ""
        return "PASS", f"within {self._limit(1):.2g} of the undisturbed one", ""

    def _limit(self, num_devices: int) -> float:
        """How far a curve may be from the undisturbed one, on a number of devices."""
        is_exact = all(found.distance == 0 for other in self._repeats if (found := apart(other, self._alone)))
        share = 3 * self._tolerance if num_devices > 1 else self._tolerance / 5 if is_exact else self._tolerance
        return allowed(self._alone, self._repeats, share)

    def _differs(self, worst: Any) -> str:
        names = self._names
        return (
            f"{names.metric} is {worst.value:.5g} at {names.resource} {worst.level:g}, undisturbed {worst.expected:.5g}"
        )


def judge(
    seen: Observed, resource: str | None, metric: str | None, grace_s: float, tolerance: float
) -> tuple[CurveNames, list[CheckRow]]:
    """Judges the observed launches; see :class:`Judge`. Resource and metric are found in the reports if None."""
    names = find_names(seen.alone.reports, resource, metric)
    return names, Judge(seen, names, grace_s, tolerance).rows()
