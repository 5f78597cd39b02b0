"""Sets the numbers of threads of numerical libraries that were loaded before a fork.

BLAS and OpenMP libraries read variables such as ``OMP_NUM_THREADS`` when they are loaded. In a fork of the preloading
server they are already loaded. So their numbers of threads are set as if the fork had loaded them: at its start, and
again when the script imports the Python package that loads the library, for variables that the script has changed by
then (see ``_import_watch.py``).
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from syne_hypersched.launch._import_watch import watch_imports

#: Environment variables that set the number of threads of a library.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS",
)  # fmt: skip

#: Packages that load numerical libraries, and the other ones that are loaded with them.
_LOADS = {
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
    """Environment variables with its number of threads: the first one that is set counts."""
    is_capped: bool
    """Whether it never has more threads than the process has cores."""
    set_number: Callable[[int], object]

    def number(self, env: Mapping[str, str], num_cores: int) -> int:
        """Its number of threads if a process with ``num_cores`` cores loads it in the environment ``env``."""
        for variable in self.variables:
            first = env.get(variable, "").partition(",")[0].strip()  # further numbers are of nested parallelism
            if first.isdigit() and int(first) > 0:
                return min(int(first), num_cores) if self.is_capped else int(first)
        return num_cores


#: Other libraries that start threads when they are loaded, and that pandas loads.
_OTHERS = re.compile(r"libarrow")


def pool_libraries(maps: Path = Path("/proc/self/maps")) -> frozenset[str]:
    """Files of the loaded libraries that keep threads of their own: BLAS, OpenMP and Arrow. They can be forked."""
    patterns = (*(kind[0] for kind in _KINDS), _OTHERS)
    files = {
        line.split(maxsplit=5)[-1] for line in maps.read_text(errors="surrogateescape").splitlines() if "/" in line
    }
    return frozenset(file for file in files if any(pattern.match(os.path.basename(file)) for pattern in patterns))


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
    """The package that loads a library: wheels have their libraries in the package or in a folder beside it."""
    _, found, rest = file.rpartition("site-packages/")
    package = rest.partition("/")[0].removesuffix(".libs") if found else ""
    package = {"scikit_learn": "sklearn"}.get(package, package)
    return package if package in _LOADS else "numpy"


class ThreadNumbers:
    """Keeps the numbers of threads as if the libraries were loaded where a script imports them.

    The server makes it when it has loaded them.
    """

    def __init__(self) -> None:
        self._pools = loaded_pools()
        self._has_started = False
        #: The environment and the number of cores by which the numbers of a package's libraries were set last.
        self._set_by: dict[str, tuple[dict[str, str], int]] = {}
        self._waiting = {pool.owner for pool in self._pools}
        now = _thread_environment(), len(os.sched_getaffinity(0))
        for owner in self._waiting:
            self._set_by[owner] = now
        if self._waiting:
            watch_imports(_LOADS, "threads", self.package_is_imported)

    def start(self) -> None:
        """Sets the numbers for a script that begins now in this process."""
        self._has_started = True
        self._update(self._waiting)

    def package_is_imported(self, name: str) -> bool:
        """Sets the final numbers of the libraries of a package, and of those it needs, when the script imports it.

        Returns whether the script has started, so that this package need not be watched any more.
        """
        if not self._has_started:
            return False
        loaded = {name, *_LOADS.get(name, ())} & self._waiting
        self._update(loaded)
        self._waiting -= loaded
        return True

    def _update(self, owners: Iterable[str]) -> None:
        now = env, num_cores = _thread_environment(), len(os.sched_getaffinity(0))
        for pool in self._pools:
            if pool.owner in owners and pool.number(env, num_cores) != pool.number(*self._set_by[pool.owner]):
                pool.set_number(pool.number(env, num_cores))
        for owner in owners:
            self._set_by[owner] = now


_numbers: ThreadNumbers | None = None


def watch_thread_variables() -> None:
    """Watches the libraries loaded so far. The server calls this when it has loaded them."""
    global _numbers
    _numbers = ThreadNumbers()


def set_thread_numbers() -> None:
    """Sets the numbers in a fork of the server, once it has the environment and the cores of its script."""
    if _numbers is not None:
        _numbers.start()


def _thread_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
