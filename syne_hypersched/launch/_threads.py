"""The numbers of threads of numerical libraries that were loaded before a fork, set to what its environment says.

BLAS and OpenMP libraries read variables such as ``OMP_NUM_THREADS`` when they are loaded. In a fork of the preloading
server they are loaded already, so their numbers are set as if they were loaded in it: at its start, and, for variables
that the script itself has changed by then, when it imports the Python package that brings the library.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

#: Variables that say how many threads a library has.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS",
)  # fmt: skip

#: Packages that load numerical libraries, and what else is loaded when they are imported.
_BRINGS = {
    "numpy": (),
    "pandas": ("numpy",),
    "scipy": ("numpy",),
    "sklearn": ("numpy", "scipy", "pandas"),
    "torch": ("numpy",),
    "torchvision": ("numpy", "torch"),
    "syne_tune": ("numpy", "pandas"),
    "syne_hypersched": ("numpy", "torch"),
}

#: For each kind of library: what its file is called, the functions that set its number of threads, the variables that
#: it reads (the first one that is set counts), and whether it never has more threads than the process has cores.
_KINDS: tuple[tuple[re.Pattern[str], tuple[str, ...], tuple[str, ...], bool], ...] = (
    (
        re.compile(r"lib(scipy_)?openblas|libblas\.|libcblas\.|liblapack\."),
        tuple(
            f"{prefix}openblas_set_num_threads{suffix}" for prefix in ("", "scipy_") for suffix in ("", "64_", "_64")
        ),
        ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"),
        True,
    ),
    (re.compile(r"libmkl_rt"), ("MKL_Set_Num_Threads",), ("MKL_NUM_THREADS", "OMP_NUM_THREADS"), False),
    (re.compile(r"libblis"), ("bli_thread_set_num_threads",), ("BLIS_NUM_THREADS", "OMP_NUM_THREADS"), False),
    (re.compile(r"libgomp|libiomp|libomp\b"), ("omp_set_num_threads",), ("OMP_NUM_THREADS",), False),
)


@dataclass(frozen=True)
class ThreadPool:
    """A loaded library with threads."""

    owner: str
    """The package that loads it."""
    variables: tuple[str, ...]
    """What it reads its number from: the first one that is set."""
    is_capped: bool
    """Whether it never has more threads than the process has cores."""
    set_number: Callable[[int], object]

    def number(self, env: Mapping[str, str], num_cores: int) -> int:
        """The threads that it has if it is loaded in this environment by a process with so many cores."""
        for variable in self.variables:
            first = env.get(variable, "").partition(",")[0].strip()  # further numbers are of nested parallelism
            if first.isdigit() and int(first) > 0:
                return min(int(first), num_cores) if self.is_capped else int(first)
        return num_cores


def loaded_pools(maps: Path = Path("/proc/self/maps")) -> tuple[ThreadPool, ...]:
    """The libraries with threads that this process has loaded."""
    lines = maps.read_text(errors="surrogateescape").splitlines()
    files = {line.split(maxsplit=5)[-1] for line in lines if "/" in line}
    pools = []
    for file in sorted(files):
        for pattern, setters, variables, is_capped in _KINDS:
            if pattern.match(os.path.basename(file)):
                set_number = _function(file, setters)
                if set_number is not None:
                    pools.append(ThreadPool(_owner(file), variables, is_capped, set_number))
    torch = sys.modules.get("torch")
    if torch is not None:  # last: it sets the number of its OpenMP library
        variables = ("MKL_NUM_THREADS", "OMP_NUM_THREADS")
        if not torch.backends.mkl.is_available():
            variables = variables[::-1]
        pools.append(ThreadPool("torch", variables, False, torch.set_num_threads))
    return tuple(pools)


def _function(file: str, names: Iterable[str]) -> Callable[[int], object] | None:
    try:
        library = ctypes.CDLL(file, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
    except OSError:  # a data file, or a library that has been replaced
        return None
    function = next((getattr(library, name) for name in names if hasattr(library, name)), None)
    if function is not None:
        function.argtypes, function.restype = (ctypes.c_int,), None
    return function


def _owner(file: str) -> str:
    """The package that brings a library: wheels have theirs in a folder beside the package or in it."""
    _, found, rest = file.rpartition("site-packages/")
    package = rest.partition("/")[0].removesuffix(".libs") if found else ""
    package = {"scikit_learn": "sklearn"}.get(package, package)
    return package if package in _BRINGS else "numpy"


class ThreadNumbers:
    """Keeps the numbers of threads what they would be if the libraries were loaded where a script imports them.

    To be made by the server when it has loaded them.
    """

    def __init__(self) -> None:
        self._pools = loaded_pools()
        self._has_started = False
        #: What the numbers of a package's libraries were set by: environment and number of cores.
        self._set_by: dict[str, tuple[dict[str, str], int]] = {}
        self._waiting = {pool.owner for pool in self._pools}
        now = _thread_environment(), len(os.sched_getaffinity(0))
        for owner in self._waiting:
            self._set_by[owner] = now
        if self._waiting:
            for name, module in list(sys.modules.items()):
                if name.partition(".")[0] in _BRINGS:
                    _watch(module, self.package_is_imported)

    def start(self) -> None:
        """Sets the numbers for a script that begins now in this process."""
        self._has_started = True
        self._update(self._waiting)

    def package_is_imported(self, name: str) -> bool:
        """The script imports a package: its libraries, and those it needs, have their final numbers.

        Returns whether it was the script, so that this package needs to be watched no longer.
        """
        if not self._has_started:
            return False
        brought = {name, *_BRINGS.get(name, ())} & self._waiting
        self._update(brought)
        self._waiting -= brought
        return True

    def _update(self, owners: Iterable[str]) -> None:
        now = env, num_cores = _thread_environment(), len(os.sched_getaffinity(0))
        for pool in self._pools:
            if pool.owner in owners and pool.number(env, num_cores) != pool.number(*self._set_by[pool.owner]):
                pool.set_number(pool.number(env, num_cores))
        for owner in owners:
            self._set_by[owner] = now


_numbers: ThreadNumbers | None = None


def follow_thread_variables() -> None:
    """To be called by the server when it has loaded its libraries."""
    global _numbers
    _numbers = ThreadNumbers()


def set_thread_numbers() -> None:
    """To be called in a fork of the server that has the environment and the cores of its script."""
    if _numbers is not None:
        _numbers.start()


def _thread_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}


class _WatchedSpec(ModuleSpec):
    """The spec of a loaded module, of which every import statement asks whether the module is still being loaded."""

    @property
    def _initializing(self) -> bool:
        members = vars(self)
        if members["_when_imported"](self.name.partition(".")[0]):
            self.__class__ = ModuleSpec  # type: ignore[assignment]
            del members["_when_imported"]
        return bool(members.get("_initializing", False))

    @_initializing.setter
    def _initializing(self, value: bool) -> None:
        vars(self)["_initializing"] = value


def _watch(module: ModuleType, when_imported: Callable[[str], bool]) -> None:
    spec: Any = getattr(module, "__spec__", None)
    if type(spec) is ModuleSpec:
        vars(spec)["_when_imported"] = when_imported
        spec.__class__ = _WatchedSpec
