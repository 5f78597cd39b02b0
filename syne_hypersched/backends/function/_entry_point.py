"""The program of a trial of ``ElasticPythonBackend``: it calls the stored function with the trial's configuration.

It does not import this package, which a trial need not be able to find. The names of arguments and of entries of the
configuration are those that ``_backend.py`` and Syne Tune write.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

#: Exit code of a program that cannot be started, as of a shell. The trial fails at once: it would do the same again.
CANNOT_START = 126


def load_function(load: Callable[[], Any]) -> Callable[..., object]:
    """Restores the function that ``dump_function`` has pickled; ``load`` returns one object after the other."""
    namespace = load()
    for _ in range(3):
        namespace.update(load())
    function: Callable[..., object] = load()
    return function


def main() -> None:
    """Loads the function that is named by the configuration, and calls it."""
    # Python has added the folder of this file, whose modules would hide others of the same names.
    here = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.realpath(path) != here]

    import argparse
    import hashlib
    import inspect
    import io
    import json
    from pathlib import Path

    import dill

    parser = argparse.ArgumentParser()
    parser.add_argument("--st_config_json_filename", type=Path, required=True)
    parser.add_argument("--st_checkpoint_dir", required=True)
    args, _ = parser.parse_known_args()
    config = json.loads(args.st_config_json_filename.read_text(encoding="utf-8"))
    path = Path(config.pop("st_tune_function_path"))
    stored = path.read_bytes()
    if hashlib.sha256(stored).hexdigest() != config.pop("st_tune_function_sha256"):
        raise ValueError(f"{path} must hold the function that the trial was started with, but has been replaced")
    pickles = io.BytesIO(stored)
    sys.path[:] = dill.load(pickles)  # before the function, whose modules may lie there
    tune_function = load_function(dill.Unpickler(pickles).load)
    if "st_checkpoint_dir" in inspect.signature(tune_function).parameters:
        config["st_checkpoint_dir"] = args.st_checkpoint_dir
    result = tune_function(**config)
    is_awaited = inspect.isawaitable(result)
    if is_awaited or inspect.isgenerator(result) or inspect.isasyncgen(result) or isinstance(result, (map, filter)):
        if inspect.iscoroutine(result):
            result.close()  # or Python warns of it as well
        kind, advice = type(result).__name__, "asyncio.run" if is_awaited else "a loop"
        print(
            f"TypeError: tune_function must run when it is called, but it has returned a {kind} object, which nothing "
            f"runs; inside the function, {advice} can run it",
            file=sys.stderr,
        )
        sys.exit(CANNOT_START)
    if isinstance(result, (dict, float)):  # as other tuners expect it
        print(
            f"tune_function has returned {result!r:.200}, which is not used: a trial reports with syne_tune.Reporter, "
            "as in Reporter()(epoch=1, loss=0.5)",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
