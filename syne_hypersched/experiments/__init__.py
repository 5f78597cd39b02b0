"""Reading a finished or running experiment: tables, checks, figures, live progress."""

from __future__ import annotations

from syne_hypersched.experiments._invariants import RULES as RULES
from syne_hypersched.experiments._invariants import Violation as Violation
from syne_hypersched.experiments._invariants import check_devices as check_devices
from syne_hypersched.experiments._invariants import check_reports as check_reports
from syne_hypersched.experiments._invariants import check_run as check_run
from syne_hypersched.experiments._live import LiveProgress as LiveProgress
from syne_hypersched.experiments._live import QuietTunerLogger as QuietTunerLogger
from syne_hypersched.experiments._live import add_live_view as add_live_view
from syne_hypersched.experiments._plot import draw_run as draw_run
from syne_hypersched.experiments._plot import plot_run as plot_run
from syne_hypersched.experiments._run import MissingEntryError as MissingEntryError
from syne_hypersched.experiments._run import Report as Report
from syne_hypersched.experiments._run import Run as Run
from syne_hypersched.experiments._run import load_run as load_run
from syne_hypersched.experiments._run import run_metadata as run_metadata
from syne_hypersched.experiments._timeline import Holding as Holding
from syne_hypersched.experiments._timeline import holdings as holdings
from syne_hypersched.experiments._trials import TrialSummary as TrialSummary
from syne_hypersched.experiments._trials import format_trials as format_trials
from syne_hypersched.experiments._trials import launch_costs_s as launch_costs_s
from syne_hypersched.experiments._trials import trial_table as trial_table
from syne_hypersched.records.events import Event as Event
from syne_hypersched.records.events import EventReader as EventReader
from syne_hypersched.records.events import read_events as read_events

__all__ = [
    "Event",
    "EventReader",
    "Holding",
    "LiveProgress",
    "MissingEntryError",
    "QuietTunerLogger",
    "Report",
    "Run",
    "RULES",
    "TrialSummary",
    "Violation",
    "add_live_view",
    "check_devices",
    "check_reports",
    "check_run",
    "draw_run",
    "format_trials",
    "holdings",
    "launch_costs_s",
    "load_run",
    "plot_run",
    "read_events",
    "run_metadata",
    "trial_table",
]
