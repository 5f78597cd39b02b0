"""All names that a study may use, as text."""

from __future__ import annotations

from syne_hypersched.allocation.scaling import PUBLISHED_SCALING
from syne_hypersched.comparison.benchmarks import NOISE, benchmark_names
from syne_hypersched.comparison.presets import PRESETS
from syne_hypersched.comparison.schedulers import known_options, scheduler_names, searcher_names
from syne_hypersched.comparison.scripts import script_names
from syne_hypersched.comparison.tables import align


def describe_names() -> str:
    """Schedulers with their options, searchers, benchmarks, training scripts, scalings and presets."""
    lines = ["schedulers"]
    lines.append(align([(f"  {name}", text) for name, text in scheduler_names().items()], left=2))
    lines += [
        "",
        f"searchers, as in asha+kde: {', '.join(searcher_names())}",
        "",
        "options, as in hypersched:policy=top_job",
    ]
    lines += [
        f"  {name}: {', '.join(known_options(name))}" for name in ("hypersched", "asha", "asha-promotion", "pasha")
    ]
    lines += ["", "benchmarks", align([(f"  {name}", text) for name, text in benchmark_names().items()], left=2)]
    lines.append(f"  with {NOISE} at the end of a name: noise is added to the values; regret is computed without it")
    scripts = [(f"  {name}", text) for name, text in script_names().items()]
    none = "  none: they are in the repository of syne-hypersched, not in the installed package"
    lines += ["", "training scripts", align(scripts, left=2) if scripts else none]
    lines += ["", f"scaling: linear, none, measured, {', '.join(PUBLISHED_SCALING)}"]
    lines += ["", "presets", align([(f"  {name}", preset.description) for name, preset in PRESETS.items()], left=2)]
    return "\n".join(lines)
