"""Hundreds of short experiments with all ways of saving and reporting: is ``best/`` the best model, and whole?

    python benchmarking/faults/best_checkpoint.py                      # 300 experiments: twenty minutes on two cores
    python benchmarking/faults/best_checkpoint.py --runs 30 --seed 4
    python benchmarking/faults/best_checkpoint.py --only 17 --keep /tmp/run-17

Each experiment is the stock tuner with a backend, a scheduler and a script that are drawn at random: the script saves
before or after it reports, seldom, only when it is better, in a thread, on SIGTERM or never; it writes its checkpoint
aside, in place, in several files or folders, from 1 kB to 200 MB; trials are paused, resized and stopped, and trials
and tuners are killed, also in the middle of a write. Every file of a checkpoint says what it is of and has a checksum,
and every script keeps a diary of what it has found, saved and reported. By these the referee
(``checkpoint_referee.py``) finds what is wrong. The exit code is 1 if anything is.

With ``--output`` what has been done is kept, and an interrupted call goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import statistics
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarking.faults.checkpoint_plans import draw
from benchmarking.faults.checkpoint_referee import RULES
from benchmarking.faults.checkpoint_runs import PATIENCE_S, end_marked_processes, run_plan
from benchmarking.faults.checkpoint_script import ORDERS

Row = dict[str, Any]


def run_all(seed: int, indices: Sequence[int], num_jobs: int, keep: Path | None = None) -> Iterator[Row]:
    """Runs plans, some at a time, each in a fork of this process; yields what came of each as soon as it is there."""
    waiting = list(indices)
    running: dict[int, tuple[int, Path, float]] = {}
    with tempfile.TemporaryDirectory(prefix="best-checkpoint-") as temporary:
        while waiting or running:
            while waiting and len(running) < num_jobs:
                index = waiting.pop(0)
                folder = Path(temporary) / str(index) if keep is None else keep / str(index)
                folder.mkdir(parents=True)
                running[_fork(seed, index, folder)] = index, folder, time.monotonic()
            for pid, (index, folder, started) in list(running.items()):
                ended, _ = os.waitpid(pid, os.WNOHANG)
                most_s = 4 * PATIENCE_S + 5 * draw(seed, index).duration_s
                if not ended and time.monotonic() - started > most_s:
                    os.kill(pid, 9)
                    os.waitpid(pid, 0)
                    end_marked_processes(folder)
                elif not ended:
                    continue
                del running[pid]
                yield _outcome(seed, index, folder)
                if keep is None:
                    shutil.rmtree(folder, ignore_errors=True)
            time.sleep(0.02)


def _fork(seed: int, index: int, folder: Path) -> int:
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        outcome = run_plan(draw(seed, index), folder)
    except BaseException:
        outcome = _without_verdict(seed, index, traceback.format_exc())
    finally:
        aside = folder / "outcome.new"
        aside.write_text(json.dumps(outcome))
        os.replace(aside, folder / "outcome.json")
        os._exit(0)


def _outcome(seed: int, index: int, folder: Path) -> Row:
    try:
        outcome: Row = json.loads((folder / "outcome.json").read_text())
    except FileNotFoundError:
        outcome = _without_verdict(seed, index, "the experiment and its referee have not ended")
    return {"seed": seed, "index": index, **outcome}


def _without_verdict(seed: int, index: int, message: str) -> Row:
    return {"what": draw(seed, index).what, "faults": [{"rule": "crashed", "message": message[-4000:]}]}


def table(rows: Sequence[Row]) -> str:
    """How sure the match in best/ was, for each order of saving, and what went wrong how often."""
    return "\n".join([*_by_order(rows), "", *_in_numbers(rows), "", *_by_rule(rows)])


def _by_order(rows: Sequence[Row]) -> Iterator[str]:
    columns = ("runs", "exact", "within k", "median k", "most k", "none", "no label", "no best", "faults")
    yield f"{'order':32}" + "".join(f"{name:>10}" for name in columns)
    by_order: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_order[row["plan"]["order"] if "plan" in row else "?"].append(row)
    for order in (*ORDERS, "?"):
        these = by_order.get(order, [])
        matches = Counter(row.get("match", "") for row in these)
        numbers = [int(match) for match, count in matches.items() if match.isdigit() for _ in range(count)]
        numbers_of = [f"{statistics.median(numbers):g}", max(numbers)] if numbers else ["-", "-"]
        cells = [len(these), matches["exact"], len(numbers), *numbers_of, matches["none"], matches["?"], matches[""]]
        if these:
            cells.append(sum(len(row["faults"]) for row in these))
            yield f"{order:32}" + "".join(f"{cell:>10}" for cell in cells)


def _in_numbers(rows: Sequence[Row]) -> Iterator[str]:
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row.get("counts", {}))
        total.update({name: row.get(name, 0) for name in ("num_reports", "bytes_copied", "bytes_saved", "generations")})
        total.update({f"kills of a {what}": number for what, number in row.get("kills", {}).items()})
    saved = (
        f"{total['saved']} saves of {total['bytes_saved'] / 2**30:.1f} GB, {total['saving'] - total['saved']} cut off"
    )
    yield f"{len(rows)} experiments, {total['begin']} launches, {total['num_reports']} reports, {saved}"
    yield ", ".join(f"{total[name]} {name}" for name in sorted(total) if name.startswith("kills")) or "no kills"
    yield (
        f"{total['torn loads']} loads of torn checkpoints, {total['healed']} of them healed, "
        f"{total['torn loads at the end']} just before the end, and {total['torn loads before any whole one']} before "
        f"anything whole was there; {total['went back after a cut']} launches went back after a cut, by "
        f"{total['epochs gone back']} epochs"
    )
    copied = total["bytes_copied"] / max(1, total["num_reports"])
    yield f"{copied:.0f} bytes copied for each report, in {total['generations']} generations"
    silent = sum(not row.get("num_reports") for row in rows)
    if silent:
        yield f"{silent} experiments had no report, so that there was nothing to judge: the machine was too busy"


def _by_rule(rows: Sequence[Row]) -> Iterator[str]:
    rules = Counter(fault["rule"] for row in rows for fault in row["faults"])
    hit = Counter(rule for row in rows for rule in {fault["rule"] for fault in row["faults"]})
    for rule, meaning in RULES.items():
        if rules[rule]:
            yield f"{rules[rule]:5d} faults in {hit[rule]:3d} experiments against: {meaning} ({rule})"
    yield f"{rules.total()} faults in {sum(bool(row['faults']) for row in rows)} of {len(rows)} experiments"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300, help="experiments (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="experiments at a time (default: %(default)s)")
    parser.add_argument("--only", type=int, nargs="+", metavar="INDEX", help="experiments to run, instead of all")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where to keep the experiments (default: nowhere)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="results as JSON, kept current and gone on from")
    options = parser.parse_args(arguments)
    rows: list[Row] = []
    if options.output is not None and options.output.exists():
        rows = [row for row in json.loads(options.output.read_text())["experiments"] if row["seed"] == options.seed]
    indices = range(options.runs) if options.only is None else options.only
    done = {row["index"] for row in rows}
    todo = [index for index in indices if index not in done]
    problem = problem_of(todo, options.keep)
    if problem:
        parser.error(problem)
    logging.disable(logging.CRITICAL)  # of the warnings about what is done here on purpose
    for row in run_all(options.seed, todo, options.jobs, options.keep):
        rows.append(row)
        print(f"[{len(rows)}/{len(done) + len(todo)}] {row['index']}: {row['what']}", flush=True)
        for fault in row["faults"]:
            print(f"    {fault['rule']}: {fault['message']}", flush=True)
        if options.output is not None:
            store(options.output, rows)
    print()
    print(table(sorted(rows, key=lambda row: row["index"])))
    return int(any(row["faults"] for row in rows))


def problem_of(todo: Sequence[int], keep: Path | None) -> str:
    """Why these experiments cannot be run and kept, in words; empty if they can be."""
    again = sorted(index for index, number in Counter(todo).items() if number > 1)
    if again:
        return f"--only must name each experiment once, but names {', '.join(map(str, again))} more than once"
    if keep is not None and keep.exists() and not keep.is_dir():
        return f"--keep must be a folder, but {keep} is a file"
    there = [] if keep is None else [keep / str(index) for index in todo if os.path.lexists(keep / str(index))]
    if there:
        return f"--keep must be a folder without these experiments, but {', '.join(map(str, there))} exists"
    return ""


def store(path: Path, rows: Sequence[Row]) -> None:
    aside = path.with_name(f"{path.name}.new")
    faults = Counter(fault["rule"] for row in rows for fault in row["faults"])
    aside.write_text(json.dumps({"faults": dict(faults), "experiments": rows}, indent=1))
    os.replace(aside, path)


if __name__ == "__main__":
    sys.exit(main())
