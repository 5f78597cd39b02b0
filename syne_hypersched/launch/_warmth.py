"""Decides whether a fork of the preloading server would behave as a new interpreter; pure functions."""

from __future__ import annotations

import importlib.machinery
import os
from collections.abc import Collection, Mapping, Sequence
from types import ModuleType

from syne_hypersched.launch._spec import working_directory
from syne_hypersched.launch._threads import THREAD_VARIABLES

#: Libraries that are slow to import, start no thread that a fork would miss and open no GPU when they are imported.
PRELOADABLE = frozenset({"numpy", "pandas", "scipy", "sklearn", "syne_hypersched", "syne_tune", "torch", "torchvision"})

#: Prefixes of variables that the interpreter and the C library read when a process starts.
_READ_AT_THE_START = ("PYTHON", "LD_", "GLIBC_TUNABLES", "MALLOC_", "LANG", "LC_", "TZ")

#: Prefixes of variables that libraries read when they are loaded.
_READ_WHEN_LOADED = (
    "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "GOTO_", "BLIS_", "NPY_", "NUMPY_", "SCIPY_", "SKLEARN_",
    "TORCHDYNAMO_", "TORCHINDUCTOR_", "TORCH_LOGS", "TORCH_COMPILE_", "TORCH_TRACE", "TORCH_SHOW_CPP_STACKTRACES",
    "PYTORCH_JIT", "TORCH_CPP_LOG_LEVEL", "TORCH_CUDA_SANITIZER", "TORCH_DEVICE_BACKEND_AUTOLOAD", "TORCH_DYNAMO_",
    "TORCH_FAKE_TENSOR_", "TORCH_USE_RTLD_GLOBAL", "AOT_INDUCTOR_", "SYMPY_", "PANDAS_", "ARROW_",
    "JOBLIB_MULTIPROCESSING", "JOBLIB_START_METHOD", "LOKY_PICKLER",
)  # fmt: skip

#: Those of them that can be set later, or that a loaded library ignores.
_HARMLESS = frozenset({*THREAD_VARIABLES, "KMP_DUPLICATE_LIB_OK"})

#: Variables that change what the interpreter does before the first line of a script.
_AT_THE_START = frozenset(
    {
        "PYTHONINSPECT", "PYTHONPROFILEIMPORTTIME", "PYTHONVERBOSE", "PYTHONDUMPREFS", "PYTHONDUMPREFSFILE",
        "PYTHONMALLOCSTATS", "PYTHONPERFSUPPORT", "PYTHON_PERF_JIT_SUPPORT", "PYTHONEXECUTABLE",
    }
)  # fmt: skip


def is_read_when_loaded(name: str) -> bool:
    """Whether libraries read a variable when they are loaded, so that it has no effect later."""
    return name.startswith(_READ_WHEN_LOADED) and name not in _HARMLESS


def why_cold(
    env: Mapping[str, str],
    server_env: Mapping[str, str],
    folders: Sequence[str],
    loaded: Mapping[str, ModuleType],
    own: Collection[str],
) -> str:
    """Why a script needs its own interpreter; empty if a fork of the server behaves the same.

    Parameters
    ----------
    env
        Environment of the script.
    server_env
        Environment with which the server was started.
    folders
        The folders that a new interpreter searches for modules before its own library.
    loaded
        Modules that the server has loaded, by name.
    own
        Names of the modules that every interpreter has loaded before a script begins.
    """
    for name in sorted(_AT_THE_START & env.keys()):
        if env[name]:
            return f"{name} is set, which acts on the start of an interpreter"
    changed = sorted(
        name
        for name in env.keys() | server_env.keys()
        if env.get(name) != server_env.get(name) and (name.startswith(_READ_AT_THE_START) or is_read_when_loaded(name))
    )
    if changed:
        names = ", ".join(changed)
        return f"{names} changed after the preloading server had started, and is read only when a process starts"
    for folder in folders:
        hidden = hidden_module(folder, loaded, own)
        if hidden:
            return f"{hidden} hides a module that the preloading server has loaded"
    return ""


def searched_first(script: str, env: Mapping[str, str], cwd: str | None) -> list[str]:
    """The folders that a new interpreter searches for modules before its own library."""
    folders = [] if env.get("PYTHONSAFEPATH") else [os.path.dirname(os.path.realpath(script))]
    path = env.get("PYTHONPATH")
    if not path:
        return folders
    cwd = cwd or working_directory() or ""
    return folders + [os.path.join(cwd, entry) for entry in path.split(os.pathsep)]


def hidden_module(folder: str, loaded: Mapping[str, ModuleType], own: Collection[str]) -> str | None:
    """A file or package of ``folder`` that a new interpreter would import instead of a module that is loaded."""
    try:
        entries = os.listdir(folder)
    except OSError:
        return None
    suffixes = sorted(importlib.machinery.all_suffixes(), key=len, reverse=True)
    for entry in entries:
        suffix = next((suffix for suffix in suffixes if entry.endswith(suffix)), "")
        name = entry.removesuffix(suffix)
        if name in own or name not in loaded or _is_part_of_the_interpreter(loaded[name]):
            continue
        path = os.path.join(folder, entry)
        if not suffix:
            inits = (os.path.join(path, f"__init__{suffix}") for suffix in suffixes)
            path = next((init for init in inits if os.path.isfile(init)), "")
        if path and not _is_from(loaded[name], path):
            return path
    return None


def _is_part_of_the_interpreter(module: ModuleType) -> bool:
    return getattr(getattr(module, "__spec__", None), "origin", None) in ("built-in", "frozen")


def _is_from(module: ModuleType, path: str) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and os.path.realpath(os.path.dirname(file)) == os.path.realpath(os.path.dirname(path))
