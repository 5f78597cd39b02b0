"""Which part of the package may import which. A new room is a new line in ``MAY_IMPORT``.

A module that is named in a string counts as imported: ``import_module("syne_hypersched.experiments")`` does too.
"""

from __future__ import annotations

import ast
import collections
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "syne_hypersched"
MOST_LINES = 400

#: The common ground, which every room may import: the modules of the package root, and which others of them each may
#: import. They import no room. A module that only one room needs lies in that room.
COMMON_GROUND = {
    "_console": {"_terminal_text"},
    "_direction": set(),
    "_disk": set(),
    "_extras": set(),
    "_file_lock": set(),
    "_first_use": set(),
    "_json_files": set(),
    "_lasting_output": {"_console"},
    "_lazy": set(),
    "_log_tail": {"_report_lines"},
    "_metadata": {"_json_files"},
    "_misplaced_reports": {"_report_lines", "filenames"},
    "_moments": set(),
    "_picture_text": {"_terminal_text"},
    "_report_lines": set(),
    "_resent_signals": set(),
    "_resize_desk": set(),
    "_short_table": {"contract"},
    "_signal_handlers": set(),
    "_sorted_floats": set(),
    "_storing": {"_tables"},
    "_tables": set(),
    "_version": set(),
    "_view": {"_terminal_text"},
    "_terminal_text": set(),
    "_wording": {"_terminal_text"},
    "checkpoint_folder": {"_disk", "checks", "filenames"},
    "checks": set(),
    "contract": set(),
    "deadline": {"_moments", "checks"},
    "filenames": set(),
    "rungs": {"_sorted_floats", "checks"},
    "stability": set(),
    "variables": set(),
    "waiting": {
        "_first_use",
        "_lasting_output",
        "_misplaced_reports",
        "_short_table",
        "_storing",
        "_view",
        "_wording",
        "checks",
    },
}
#: The rooms, from the bottom to the top, and which others each may import.
MAY_IMPORT = {
    "allocation": set(),
    "blackboxes": set(),
    "checkpoints": set(),
    "records": set(),
    "launch": {"checkpoints"},
    "training": {"allocation"},
    "integrations": {"records"},
    "schedulers": {"allocation"},
    "backends": set(),  # but for its own rooms
    "backends.shared": set(),
    "backends.machine": set(),
    "backends.local": {"backends.machine", "backends.shared", "checkpoints", "launch"},
    "backends.function": {"backends.local", "backends.machine"},
    "backends.ray": {"backends.local", "backends.machine", "backends.shared", "checkpoints", "launch"},
    "backends.virtual": {"allocation", "backends.shared", "blackboxes"},
    "simulation": {"backends.shared", "backends.virtual"},
    "recovery": {"backends.local", "backends.shared", "launch", "records", "schedulers"},
    "experiments": {"backends.shared", "checkpoints", "records", "recovery"},
    "comparison": {"allocation", "backends", "backends.local", "blackboxes", "experiments", "schedulers", "simulation"},
    "tuning": {"backends", "backends.local", "experiments", "records", "recovery", "replay", "schedulers"},
    "replay": {"backends.virtual", "blackboxes", "experiments", "schedulers", "simulation"},
    "check": {"backends.local", "backends.machine", "checkpoints", "launch"},
    "cli": {"blackboxes", "check", "comparison", "experiments", "replay", "tuning"},
    "testing": {"backends.shared", "experiments"},
}
#: Libraries, and the only rooms that may import them; or the rooms that may not.
ONLY_IN = {"torch": {"training", "integrations"}, "ray": {"backends.ray"}}
NOT_IN = {"syne_tune": {"allocation", "rungs", "contract", "checks", "filenames"}}

#: Strings that spell the name of a module without importing it from there: (module, named module), and why.
ONLY_NAMED = {
    ("backends.local._preload", "training"): "a trial's process imports it, and not the tuner's",
    ("integrations.mlflow", "tuning"): "the name of a tag",
    ("recovery._snapshot", "_sorted_floats"): "classes in stored snapshots have this name",
    ("recovery._snapshot", "allocation"): "classes in stored snapshots have this name",
}
#: Modules that import what a variable names, and whose names these are.
IMPORT_WHAT_IS_NAMED = {
    "backends.ray._probe": "whether modules of a user's script are installed",
    "_lazy": "a package's own public names, which the package spells, so that they are checked there",
    "launch._server": "the modules that a user's script imports",
    "launch._trial_import": "the modules that a user's script imports",
    "recovery._snapshot": "the classes of a stored snapshot",
}
#: The name of a class where it is defined, and the like in docstrings.
CLASS = re.compile(r"^[ \t]*class (\w+)[(:]", re.MULTILINE)
_IMPORTERS = {"import_module", "__import__", "find_spec", "run_module"}
_NAME = re.compile(rf"{PACKAGE}(\.\w+)+(:\w+)?")

#: Violations that are known and about to go: (rule, importing module, imported module) without the package's name.
KNOWN: set[tuple[str, str, str]] = set()

#: Stands for the module that a variable names.
VARIABLE = "a variable"

Import = tuple[str, str, int]
"""Importing module, imported module, line; modules without the package's name, its root is ""."""


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for path in sorted((ROOT / PACKAGE).rglob("*.py"))}


@functools.cache
def imports_of(module: str) -> tuple[Import, ...]:
    """What a module imports at any place, also where only type checkers look or when a function is called."""
    source = FILES[module].read_text(encoding="utf-8")
    return tuple((module, imported, line) for imported, line in imports_in(source, str(FILES[module])))


def imports_in(source: str, path: str = "") -> Iterator[tuple[str, int]]:
    """Imported module and line of each import of a source, and of each string that names a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [(alias.name, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: a relative import"
            names = [(f"{node.module}.{alias.name}", str(node.module)) for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _NAME.fullmatch(node.value):
            whole = above = node.value.replace(":", ".")
            while above.removeprefix(f"{PACKAGE}.") not in FILES and "." in above:
                above = above.rpartition(".")[0]
            if above == PACKAGE:  # no module, but a logger or a file
                continue
            names = [(whole, above)]
        elif isinstance(node, ast.Call) and _name_of(node.func) in _IMPORTERS and node.args:
            named = node.args[0]
            is_spelt = isinstance(named, ast.Constant) and not str(named.value).startswith(".")
            name = str(named.value) if isinstance(named, ast.Constant) and is_spelt else VARIABLE
            if name.startswith(f"{PACKAGE}."):  # found as a string
                continue
            names = [(name, name)]
        else:
            continue
        for whole, above in names:
            whole, above = (f"{name}.".removeprefix(f"{PACKAGE}.").removesuffix(".") for name in (whole, above))
            yield whole if whole in FILES else above, node.lineno


def _name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def room(module: str) -> str:
    return max((name for name in MAY_IMPORT if within(module, name)), key=len, default=module.partition(".")[0])


def package(module: str) -> str:
    """The package that a module lies in; a module of the root is one for itself."""
    is_package = FILES[module].name == "__init__.py"
    return module if is_package or "." not in module else module.rpartition(".")[0]


def within(module: str, parent: str) -> bool:
    return f"{module}.".startswith(f"{parent}.")


def in_circles(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The edges that are part of a circle: there is a path from their end to their beginning."""
    after: dict[str, set[str]] = {}
    for begin, end in edges:
        after.setdefault(begin, set()).add(end)

    def leads_to(begin: str) -> set[str]:
        found: set[str] = set()
        ahead = [begin]
        while ahead:
            new = after.get(ahead.pop(), set()) - found
            found |= new
            ahead += new
        return found

    reached = {begin: leads_to(begin) for begin in after}
    return {(begin, end) for begin, end in edges if begin in reached.get(end, ())}


@functools.cache
def violations() -> tuple[tuple[str, str, str, int], ...]:
    """Rule, importing module, imported module and line of each violation."""
    return tuple(_violations())


def _violations() -> Iterator[tuple[str, str, str, int]]:
    # The root is the public face: it names all rooms, and connects those that do not know each other.
    everything = [found for module in FILES for found in imports_of(module) if module and found[:2] not in ONLY_NAMED]
    inside = [found for found in everything if found[1] in FILES]
    # A package's face imports what is below it.
    between = {(package(a), package(b)) for a, b, _ in inside if b and package(a) != package(b) and not within(b, a)}
    module_circles = in_circles({(a, b) for a, b, _ in inside})
    package_circles = in_circles(between)
    for importer, imported, line in everything:
        if imported in FILES:
            if not imported:
                yield "the package root", importer, imported, line
                continue
            owner = imported.rpartition(".")[0]
            if imported.rpartition(".")[2].startswith("_") and not within(importer, owner) and owner:
                yield "private module", importer, imported, line
            if (importer, imported) in module_circles:
                yield "circle of modules", importer, imported, line
            if (package(importer), package(imported)) in package_circles:
                yield "circle of packages", importer, imported, line
            here, there = room(importer), room(imported)
            is_allowed = there == here or there in MAY_IMPORT.get(here, set()) or within(imported, importer)
            if there in MAY_IMPORT and not is_allowed:
                yield f"{here or importer} must not import {there}", importer, imported, line
            if importer in COMMON_GROUND and there not in COMMON_GROUND[importer] | MAY_IMPORT.keys():
                yield f"{importer} must not import {there}", importer, imported, line
        elif imported == VARIABLE:
            if importer not in IMPORT_WHAT_IS_NAMED:
                yield "imports what a variable names", importer, imported, line
        else:
            library, here = imported.partition(".")[0], room(importer)
            if here in NOT_IN.get(library, set()) or here not in ONLY_IN.get(library, {here}):
                yield f"{here} must not import {library}", importer, imported, line
    for module, path in FILES.items():
        num_lines = len(path.read_text(encoding="utf-8").splitlines())
        if num_lines > MOST_LINES:
            yield "too long", module, "", num_lines


def test_files_outside_the_package_are_no_longer_either():
    paths = [path for folder in ("tests", "benchmarking", "examples") for path in (ROOT / folder).rglob("*.py")]
    assert len(paths) > 500
    num_lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    new = [f"{path.relative_to(ROOT)}: {number} lines" for path, number in num_lines.items() if number > MOST_LINES]
    assert not new, "\n".join(["", *new])


def test_every_import_is_allowed():
    new = [
        f"{FILES[importer].relative_to(ROOT)}:{line}: {rule}{f' (it imports {imported})' if imported else ''}"
        for rule, importer, imported, line in violations()
        if (rule, importer, imported) not in KNOWN
    ]
    assert not new, "\n".join(["", *new])


def test_known_violations_are_still_there():
    gone = KNOWN - {(rule, importer, imported) for rule, importer, imported, _ in violations()}
    assert not gone, f"mended, so to be removed from KNOWN: {sorted(gone)}"


def test_every_package_is_a_room():
    packages = {module.partition(".")[0] for module, path in FILES.items() if module and path.name == "__init__.py"}
    assert packages <= set(MAY_IMPORT), "a new package needs a line in MAY_IMPORT"
    assert set(MAY_IMPORT) <= set(FILES), "MAY_IMPORT has a line for what does not exist"
    assert all(others <= set(MAY_IMPORT) for others in MAY_IMPORT.values())


def test_every_module_of_the_root_is_common_ground():
    root = {module for module, path in FILES.items() if "." not in module and path.name != "__init__.py"}
    assert root == set(COMMON_GROUND), "a new module of the root needs a line in COMMON_GROUND"
    users: dict[str, set[str]] = {module: set() for module in root}
    for module in FILES:
        for importer, imported, _ in imports_of(module):
            if imported in root:
                users[imported].add(room(importer))
    of_one = {module: rooms for module, rooms in users.items() if module.startswith("_") and len(rooms) == 1}
    in_one_room = {module for module, rooms in of_one.items() if rooms <= set(MAY_IMPORT)}
    assert not in_one_room, "only one room needs it, so it belongs there"


@pytest.mark.parametrize(
    "source, imported",
    [
        ("import importlib\ndef f():\n    importlib.import_module('syne_hypersched.experiments')", "experiments"),
        ("NAMES = {'Journal': 'syne_hypersched.recovery'}", "recovery"),
        ("logging.getLogger('syne_hypersched.recovery._journal')", "recovery._journal"),
        ("locate('syne_hypersched.recovery._journal.Journal')", "recovery._journal"),
        ("find('syne_hypersched.recovery._journal:Journal')", "recovery._journal"),
        ("__import__('syne_hypersched')", ""),
        ("import_module(name)", VARIABLE),
        ("import_module(f'syne_hypersched.{name}')", VARIABLE),
        ("import_module('.experiments', __package__)", VARIABLE),
        ("import_module('fastparquet')", "fastparquet"),
    ],
)
def test_imports_by_a_string_are_found(source: str, imported: str):
    assert imported in {name for name, _ in imports_in(source)}


def test_other_strings_are_no_imports():
    source = "a = 'syne_hypersched'\nb = 'syne_hypersched.log'\nc = 'python -m syne_hypersched.experiments.report'"
    assert not list(imports_in(source))


def test_what_is_only_named_is_still_named():
    named = {found[:2] for module in FILES for found in imports_of(module)}
    assert set(ONLY_NAMED) <= named
    assert {module for module, imported in named if imported == VARIABLE} == set(IMPORT_WHAT_IS_NAMED)


def test_every_direction_is_used():
    used = {
        (room(importer), room(imported))
        for module in FILES
        for importer, imported, _ in imports_of(module)
        if imported in FILES
    }
    allowed = MAY_IMPORT | COMMON_GROUND
    unused = {(here, there) for here, others in allowed.items() for there in others} - used
    assert not unused, "MAY_IMPORT or COMMON_GROUND allows what nobody does"


def test_circles_are_found():
    assert in_circles({("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")}) == {("a", "b"), ("b", "c"), ("c", "a")}
    assert in_circles({("a", "a")}) == {("a", "a")}
    assert in_circles({("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")}) == set()


def test_no_two_classes_have_one_name():
    sources = {module: path.read_text(encoding="utf-8") for module, path in FILES.items()}
    spelt = {module: {name.lstrip("_") for name in CLASS.findall(source)} for module, source in sources.items()}
    counts = collections.Counter(name for names in spelt.values() for name in names)
    once = {name for name, count in counts.items() if count == 1}
    found: dict[str, list[str]] = {}
    for module, path in FILES.items():
        if spelt[module] <= once and len(CLASS.findall(sources[module])) == len(spelt[module]):
            continue  # not parsed, which takes long
        for node in ast.walk(ast.parse(sources[module])):
            # A script imports the classes of one integration, so they may have the same name in each.
            if isinstance(node, ast.ClassDef) and not within(module, "integrations"):
                found.setdefault(node.name.lstrip("_"), []).append(f"{path.relative_to(ROOT)}:{node.lineno}")
    namesakes = {name: places for name, places in found.items() if len(places) > 1}
    assert not namesakes
