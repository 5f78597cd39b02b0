"""Mutation testing: changes decision code at one place at a time, and counts the changes that a test notices.

``python -m tests.mutants --sample 100`` draws so many changes (mutants) evenly from rungs, allocation, schedulers and
the reconciliation of devices, runs the tests of each module and then those of its package, and prints the survivors.
It works on a copy of the tree. The tests of a mutant run in a fork of a process that has imported what
does not change, so that most mutants take a second or two.

A survivor is a change that no test notices: a gap in the tests, code that is redundant, or a change without effect.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "syne_hypersched"

GROUPS = {
    "rungs": ("rungs.py", "_sorted_floats.py"),
    "allocation": ("allocation/*.py",),
    "schedulers": ("schedulers/*.py", "schedulers/*/*.py"),
    "reconcile": ("backends/**/reconcile.py",),
}

_COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}

LIMIT_S = 90
"""A mutant whose tests need more seconds of processor time counts as found: it loops."""
TIMEOUT_S = 900
"""So does one whose tests take longer, where they wait for something."""


@dataclass(frozen=True)
class Mutant:
    """A module with one change."""

    path: str
    """Of the module, relative to the root."""
    line: int
    change: str
    """Before and after."""
    source: str
    """The whole module, changed."""


def num_mutants(source: str) -> int:
    """Number of changes that can be made in a module."""
    return len(_places(ast.parse(source)))


def make_mutant(path: str, source: str, index: int) -> Mutant:
    """A module with one change; :func:`num_mutants` returns the number of possible changes."""
    tree = ast.parse(source)
    node, change = _places(tree)[index]
    before = ast.unparse(node).split("\n")[0]
    change()
    after = ast.unparse(ast.fix_missing_locations(node)).split("\n")[0]
    return Mutant(path, node.lineno, f"{before}  ->  {after}", ast.unparse(ast.fix_missing_locations(tree)))


def _places(tree: ast.AST) -> list[tuple[ast.expr | ast.stmt, Callable[[], object]]]:
    """Nodes to change, each with a function that changes it in place."""
    places: list[tuple[ast.expr | ast.stmt, Callable[[], object]]] = []
    skipped = {id(child) for node in ast.walk(tree) if _is_no_decision(node) for child in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) not in skipped:
            places += [(node, change) for change in _changes(node)]
    return places


def _is_no_decision(node: ast.AST) -> bool:
    """Messages, annotations and imports for type checkers have no effect on decisions."""
    if isinstance(node, (ast.Raise, ast.JoinedStr, ast.Assert)):
        return True
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return True
    if isinstance(node, ast.FunctionDef) and node.name in ("__repr__", "__str__"):
        return True
    return isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("logger.", "TypeAlias", "because"))


def _changes(node: ast.AST) -> Iterator[Callable[[], object]]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS:
        yield lambda: node.ops.__setitem__(0, _COMPARISONS[type(node.ops[0])]())
    elif isinstance(node, ast.BoolOp):
        yield lambda: setattr(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
        yield lambda: node.values.pop(0)
        yield lambda: node.values.pop()
    elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in _OPERATORS:
        if not (
            isinstance(node, ast.BinOp) and isinstance(node.left, ast.Constant) and isinstance(node.left.value, str)
        ):
            yield lambda: setattr(node, "op", _OPERATORS[type(node.op)]())
    elif isinstance(node, (ast.If, ast.IfExp, ast.While)):
        yield lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield lambda: setattr(node, "value", node.value + 1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield lambda: setattr(node, "value", not node.value)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _NAMES:
        yield lambda: setattr(node.func, "id", _NAMES[node.func.id])
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield lambda: setattr(node, "value", ast.Constant(None))


def tests_of(path: str, root: Path) -> tuple[list[str], list[str]]:
    """The module's own test files, and the others of its package, relative to the root."""
    module = Path(path).relative_to(PACKAGE)
    folder, name = root / "tests" / module.parent, f"test_{module.stem.lstrip('_')}"
    own = sorted(folder.glob(f"{name}*.py"))
    wider = folder if module.parent != Path() else None
    others = [] if wider is None else sorted(set(wider.rglob("test_*.py")) - set(own))
    if module.parts[0] == "schedulers" and len(module.parts) == 2:
        others = sorted(set((root / "tests/schedulers").rglob("test_*.py")) - set(own))
    elif module.parts[0] == "backends":
        others = []
    return ([str(p.relative_to(root)) for p in own], [str(p.relative_to(root)) for p in others])


def run(tests: list[str], root: Path) -> bool:
    """Whether all tests pass, in a fork of this process."""
    if not tests:
        return True
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            code = _passes(tests, root)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.setpgid(pid, pid)
    # A timer of this process: the tests have timers of their own, which would replace one of theirs.
    killer = threading.Timer(TIMEOUT_S, os.killpg, (pid, signal.SIGKILL))
    killer.start()
    _, status = os.waitpid(pid, 0)
    killer.cancel()
    return status == 0


def _passes(tests: list[str], root: Path) -> int:
    """Runs tests in this process: 0 if all pass."""
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))
    os.chdir(root)
    sys.path.insert(0, str(root))
    if not os.environ.get("MUTANTS_SHOW"):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
    import pytest

    options = [
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--hypothesis-seed=0",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
    ]
    return int(pytest.main([*options, *tests]) != 0)


def survives(mutant: Mutant, root: Path, stages: list[list[str]]) -> int | None:
    """The stage of tests that notices the mutant, counted from 0; None if none does."""
    target = root / mutant.path
    original = target.read_text()
    target.write_text(mutant.source)
    try:
        return next((i for i, tests in enumerate(stages) if not run(tests, root)), None)
    finally:
        target.write_text(original)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=100, help="number of mutants, 0 for all (default 100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--groups", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--last", nargs="*", default=[], help="test files that run last, to see what they add")
    parser.add_argument("--seconds", type=float, default=900.0, help="ends after so many seconds (default 900)")
    args = parser.parse_args()
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    # What does not change is imported once.
    import pandas  # noqa: F401
    import pytest  # noqa: F401
    import syne_tune.optimizer.baselines  # noqa: F401

    draw = random.Random(args.seed)
    drawn: dict[str, list[tuple[str, int]]] = {}
    for group in args.groups:
        paths = sorted({p for pattern in GROUPS[group] for p in (ROOT / PACKAGE).glob(pattern)})
        drawn[group] = [(str(p.relative_to(ROOT)), i) for p in paths for i in range(num_mutants(p.read_text()))]
        draw.shuffle(drawn[group])
        print(f"{group}: {len(drawn[group])} mutants in {len(paths)} modules", flush=True)
    total = sum(map(len, drawn.values()))
    if args.sample:
        drawn = {g: ms[: max(5, round(args.sample * len(ms) / total))] for g, ms in drawn.items()}
    found = {group: [0, 0, 0] for group in drawn}
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "tree"
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(".git", ".venv", "__pycache__", "results", ".*cache"))
        if not run(["tests/test_rungs.py", "tests/allocation/test_stretch.py"], root):
            raise SystemExit("the tests fail without any change")
        queue = [(g, m) for g, ms in drawn.items() for m in ms]
        draw.shuffle(queue)
        for group, (path, index) in queue:
            if time.monotonic() - started_s > args.seconds:
                break
            mutant = make_mutant(path, (root / path).read_text(), index)
            own, others = tests_of(mutant.path, root)
            last = [test for test in args.last if test in own + others]
            stages = [[t for t in own if t not in last], [t for t in others if t not in last], last]
            stage = survives(mutant, root, stages)
            found[group][2] += 1
            found[group][0] += stage in (0, 1)
            found[group][1] += stage is not None
            if stage in (None, 2):
                word = "survives" if stage is None else "found by the last tests"
                print(f"{word}: {mutant.path}:{mutant.line}: {mutant.change}", flush=True)
    for group, (without, with_last, count) in found.items():
        print(f"{group}: {without} of {count} found without the last tests, {with_last} with them")


if __name__ == "__main__":
    main()
