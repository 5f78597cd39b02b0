"""Names of the files and folders of an experiment on disk that more than one module needs.

Each of them is defined only here. A name that a single module needs is a constant of that module. The names in the
folder of a comparison are in :mod:`syne_hypersched.comparison.storage`. Names that Syne Tune defines, such as
``metadata.json`` and ``results.csv.zip``, are in ``syne_tune.constants``.
"""

from __future__ import annotations

import re

# In the experiment's folder.

EVENTS_FILENAME = "events.jsonl"
"""The events of the trials' processes, one line for each event."""

POOL_FILENAME = "pool.json"
"""The devices that a run may use now. ``hypersched pool`` or a cluster's manager writes it, not the run itself."""

SERVER_LOG_FILENAME = "preloading.log"
"""Output of the server that forks the trials."""

TUNER_LOCK_FILENAME = "tuner.lock"
"""The file that a backend locks while its tuner runs."""

FIGURE_FILENAME = "run.png"
"""Picture of the run, which the report draws."""

PAGE_FILENAME = "run.html"
"""Page of the run, which the report writes."""

BEST_DIRNAME = "best"
"""Link to a folder with the incumbent's checkpoint, configuration and report."""

RESULT_FILENAME = "result.json"
"""In ``best/``: the report of the incumbent."""

JOURNAL_DIRNAME = "journal"
"""Folder of the journal, which a :class:`~syne_hypersched.Journal` writes."""

SEGMENT = re.compile(r"(\d{6})\.jsonl")
"""In ``journal/``: names of its segments."""

LOCK_FILENAME = "lock"
"""In ``journal/``: the file that the writing tuner locks."""

SETUP_FILENAME = "setup.dill"
"""In ``journal/``: the tuner as it was before its start."""

SNAPSHOT_FILENAME = "snapshot"
"""In ``journal/``: the state of the scheduler after a number of calls."""

FUNCTION_DIRNAME = "tune_function"
"""Folder of the function that :class:`~syne_hypersched.ElasticPythonBackend` tunes."""

FUNCTION_FILENAME = "tune_function.dill"
"""In ``tune_function/``: the function in the form that its trials load."""

FUNCTION_RECORD_FILENAME = "tune_function.json"
"""In ``tune_function/``: the function's name and fingerprint."""

# In the folder of a trial.

CONFIG_FILENAME = "config.json"
"""The trial's configuration; in ``best/``, that of the incumbent."""

STDOUT_FILENAME = "std.out"
"""Standard output of rank 0 of all launches of a trial."""

STDERR_FILENAME = "std.err"
"""Standard error of rank 0 of all launches of a trial."""

# In the folder of a trial's checkpoints.

MANIFEST_FILENAME = "manifest.json"
"""In a checkpoint of :mod:`syne_hypersched.training`: the list of its files."""

NOTES_FILENAME = "elastic.json"
"""In a checkpoint of :mod:`syne_hypersched.integrations`: the report that belongs to it."""

RANK_LOG = re.compile(r"std(\.rank\d+)?\.(out|err)")
"""Names of the logs of all ranks."""


def segment_name(number: int) -> str:
    """Name of a segment of the journal, from 0: ``000000.jsonl``."""
    return f"{number:06d}.jsonl"


def rank_log_name(name: str, rank: int) -> str:
    """Name of the log of a rank other than 0: ``std.out`` becomes ``std.rank1.out``."""
    stem, _, suffix = name.rpartition(".")
    return name if rank == 0 else f"{stem}.rank{rank}.{suffix}"
