"""The command ``export``."""

from __future__ import annotations

import sys
from pathlib import Path

from syne_hypersched._console import cannot
from syne_hypersched._terminal_text import shown

EPILOGUE = """\
Examples:
  hypersched export NAME --csv tables
  hypersched export NAME --optuna sqlite:///study.db
  hypersched export NAME --optuna study.log     # then: optuna-dashboard study.log
  hypersched export NAME --tensorboard logs     # then: tensorboard --logdir logs

Exit codes: 0; 2 if the run cannot be read, the output cannot be written, or a
library is missing.
"""


def export(
    run: str,
    /,
    *,
    csv: Path | None = None,
    optuna: str | None = None,
    tensorboard: Path | None = None,
    time_attr: str | None = None,
) -> int:
    """Write a run for other tools: CSV tables, an Optuna study, TensorBoard scalars.

    At least one of --csv, --optuna and --tensorboard is needed.

    Parameters
    ----------
    run
        Name or folder of the experiment.
    csv
        Folder for three tables: trials, reports and events.
    optuna
        Address of an Optuna storage, such as sqlite:///study.db, or a file that ends in .log.
    tensorboard
        Folder for the TensorBoard files.
    time_attr
        Name of the resource level in the results (default: that of the scheduler).
    """
    if csv is None and optuna is None and tensorboard is None:
        message = "hypersched: export needs --csv FOLDER, --optuna STORAGE or --tensorboard FOLDER"
        print(f"{message}\nTry: hypersched export --help", file=sys.stderr)
        return 2
    from syne_hypersched.experiments import load_run
    from syne_hypersched.experiments.export import export_csv, export_optuna, export_tensorboard

    folder_option = "--csv"
    try:
        loaded = load_run(run, time_attr)
        written = [] if csv is None else list(export_csv(loaded, csv))
        if optuna is not None:
            written.append(export_optuna(loaded, optuna))
        folder_option = "--tensorboard"
        if tensorboard is not None:
            written.append(export_tensorboard(loaded, tensorboard))
    except BrokenPipeError:
        raise
    except (OSError, ValueError, ModuleNotFoundError) as error:
        options = {"path": "RUN", "run": "the run", "folder": folder_option, "storage": "--optuna"}
        print(cannot("export", run, error, **options), file=sys.stderr)
        return 2
    for one in written:
        print(f"{shown(one.where)}: {shown(one.what)}")
    return 0
