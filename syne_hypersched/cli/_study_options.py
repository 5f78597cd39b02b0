"""The settings of a study, as options of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from syne_hypersched._wording import enumerated

if TYPE_CHECKING:
    from syne_hypersched.comparison.settings import Study, TableFile

_WHAT = Group("What is compared (lists are separated by commas)", sort_key=1)
_TABLE = Group(
    "Your own table of learning curves (simulator)",
    help="A parquet or CSV file with one row for each configuration and epoch. All columns that are not named here are "
    "hyperparameters unless --configuration names them.",
    sort_key=2,
)
_MACHINE = Group("Deadline and machine", sort_key=3)
_ELAPSED = "elapsed_s"
_LOCAL = Group("Real training on this machine (--backend local)", sort_key=4)


@Parameter(name="*", show_default=False)
@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """The settings of a study, as typed on the command line."""

    preset: Annotated[
        str,
        Parameter(group=_WHAT, help="A study with a name (--list shows them); the other arguments override it."),
    ] = "default"
    schedulers: Annotated[
        str | None,
        Parameter(
            group=_WHAT,
            help="Names, optionally with a searcher after '+' and options after ':', such as asha+kde or "
            "hypersched:policy=top_job:grace_period=2 (default: all schedulers of this package and random "
            "search).",
        ),
    ] = None
    reference: Annotated[
        str | None,
        Parameter(
            group=_WHAT,
            help="The scheduler that the others are compared with, seed by seed (default asha, or the first).",
        ),
    ] = None
    benchmark: Annotated[
        str | None,
        Parameter(
            group=_WHAT,
            help="A table of learning curves: digits (default), nasbench201-synthetic-cifar10, lcbench:DATASET...; "
            "with --backend local a training script: digits-cnn.",
        ),
    ] = None

    table: Annotated[
        Path | None,
        Parameter(group=_TABLE, help="The file."),
    ] = None
    metric: Annotated[
        str | None,
        Parameter(group=_TABLE, help="Column of the metric."),
    ] = None
    mode: Annotated[
        Literal["min", "max"] | None,
        Parameter(group=_TABLE, help="Minimise or maximise the metric."),
    ] = None
    time_attr: Annotated[
        str,
        Parameter(group=_TABLE, help="Column of the resource level (default epoch)."),
    ] = "epoch"
    elapsed_attr: Annotated[
        str,
        Parameter(group=_TABLE, help="Column of the seconds trained so far (default elapsed_s)."),
    ] = _ELAPSED
    epoch_time_attr: Annotated[
        str | None,
        Parameter(group=_TABLE, help="Column of the seconds of each epoch, if no column has the seconds so far."),
    ] = None
    seed_attr: Annotated[
        str | None,
        Parameter(group=_TABLE, help="Column of the repetition, if configurations were trained several times."),
    ] = None
    configuration: Annotated[
        str | None,
        Parameter(group=_TABLE, help="Columns of the hyperparameters."),
    ] = None
    configs: Annotated[
        Path | None,
        Parameter(group=_TABLE, help="A second file with the hyperparameters, one row for each configuration."),
    ] = None
    config_id: Annotated[
        str | None,
        Parameter(group=_TABLE, help="Column by which the two files are joined (default config_id)."),
    ] = None
    where: Annotated[
        tuple[str, ...],
        Parameter(group=_TABLE, help="COLUMN=VALUE: only rows with this value are read; repeatable."),
    ] = ()

    deadline: Annotated[
        str | None,
        Parameter(
            group=_MACHINE,
            help="One or more: seconds (1800, 30m, 2h), or median full runs on one device (default 0.5x,1x,2x).",
        ),
    ] = None
    num_devices: Annotated[
        str | None,
        Parameter(group=_MACHINE, help="Number of devices; each number is a scenario (default 8)."),
    ] = None
    scaling: Annotated[
        tuple[str, ...] | None,
        Parameter(
            group=_MACHINE,
            consume_multiple=True,
            help="Speed-up of a trial by number of devices: a published table such as resnet50 (default), "
            "imagenet_resnet50 or babi, linear, none, measured (that of the benchmark), or your own table such "
            "as 1:1,2:1.8,4:3.1; separate several by blanks.",
        ),
    ] = None
    launch_cost: Annotated[
        str | None,
        Parameter(
            group=_MACHINE,
            help="Cost of each start, resume and resize: seconds, or a share of a median full run (default 1%). "
            "5%/0.1%: launches cost 5%, and resizes are in place and stop the training for 0.1%. 5%+2%: a start "
            "costs 5%, each resume and resize 2%.",
        ),
    ] = None
    seeds: Annotated[
        str | None,
        Parameter(group=_MACHINE, help="Number of seeds, or a list such as 3,5,8 (default 10)."),
    ] = None
    max_trials: Annotated[
        int | None,
        Parameter(group=_MACHINE, help="Maximum number of trials: a run ends when one more would start."),
    ] = None

    backend: Annotated[
        str,
        Parameter(group=_LOCAL, help="simulator (default): virtual time; local: real processes, one run at a time."),
    ] = "simulator"
    max_t: Annotated[
        int | None,
        Parameter(group=_LOCAL, help="Epochs to which a trial trains."),
    ] = None
    model: Annotated[
        str | None,
        Parameter(group=_LOCAL, help="Model, if the script has several."),
    ] = None
    data: Annotated[
        str | None,
        Parameter(group=_LOCAL, help="Data set or its path, if the script has one."),
    ] = None
    option: Annotated[
        tuple[str, ...],
        Parameter(group=_LOCAL, help="Another option of the script, as NAME=VALUE; repeatable."),
    ] = ()


def study_of(options: StudyOptions) -> Study:
    """The study that the command line describes.

    Raises
    ------
    ValueError
        An argument is invalid; the message names it.
    FileNotFoundError
        There is no such table.
    """
    from syne_hypersched.comparison.names import unknown_name
    from syne_hypersched.comparison.presets import make_study
    from syne_hypersched.comparison.settings import BACKENDS

    if options.backend not in BACKENDS:
        raise unknown_name("backend", options.backend, BACKENDS)
    table = None
    if options.table is not None:
        table = _table_file(options, options.table)
    elif of_table := _options_of_a_table(options):
        raise ValueError(
            f"{enumerated(of_table)} {'need' if len(of_table) > 1 else 'needs'} --table FILE, which is missing"
        )
    named = (("model", options.model), ("data", options.data))
    script_options = [(name, value) for name, value in named if value is not None]
    return make_study(
        options.preset,
        benchmarks=("table",) if table is not None else _list(options.benchmark),
        schedulers=_list(options.schedulers),
        deadlines=_list(options.deadline),
        num_devices=_integers("--num-devices", options.num_devices),
        scalings=options.scaling,
        launch_costs=_list(options.launch_cost),
        seeds=_seeds(options.seeds),
        reference=options.reference,
        backend=options.backend,
        max_num_trials=options.max_trials,
        max_t=options.max_t,
        table=table,
        script_options=[*script_options, *(_name_and_value("--option", "NAME", text) for text in options.option)],
    )


def _table_file(options: StudyOptions, path: Path) -> TableFile:
    import hashlib

    from syne_hypersched.comparison.settings import TableFile

    if options.metric is None or options.mode is None:
        raise ValueError("--table needs --metric COLUMN and --mode min or max")
    if options.benchmark is not None:
        raise ValueError(f"--table is a benchmark itself, but got --benchmark {options.benchmark!r}, too")
    if options.epoch_time_attr is not None and options.elapsed_attr != _ELAPSED:
        raise ValueError(
            f"--elapsed-attr and --epoch-time-attr exclude each other, but got {options.elapsed_attr!r} and "
            f"{options.epoch_time_attr!r}"
        )
    if options.config_id is not None and options.configs is None:
        raise ValueError("--config-id needs --configs FILE, which is missing")
    files = [path] if options.configs is None else [path, options.configs]
    for option, file in zip(("--table", "--configs"), files, strict=False):
        if not file.is_file():
            raise FileNotFoundError(f"{option} must be an existing file, but got {str(file)!r}")
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return TableFile(
        path=str(path.resolve()),
        metric=options.metric,
        do_minimize=options.mode == "min",
        time_attr=options.time_attr,
        elapsed_time_attr=options.elapsed_attr,
        configuration=_list(options.configuration),
        sha256=digest.hexdigest(),
        epoch_time_attr=options.epoch_time_attr,
        seed_attr=options.seed_attr,
        configs_path=None if options.configs is None else str(options.configs.resolve()),
        config_id=options.config_id,
        where=tuple(_name_and_value("--where", "COLUMN", text) for text in options.where) or None,
    )


def _options_of_a_table(options: StudyOptions) -> list[str]:
    """The given options that are valid only with a table."""
    given = {
        "--metric": options.metric,
        "--mode": options.mode,
        "--epoch-time-attr": options.epoch_time_attr,
        "--seed-attr": options.seed_attr,
        "--configuration": options.configuration,
        "--configs": options.configs,
        "--config-id": options.config_id,
        "--where": options.where or None,
    }
    return [name for name, value in given.items() if value is not None]


def _list(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    items = tuple(item.strip() for item in text.split(",") if item.strip())
    if not items:
        raise ValueError(f"a list must not be empty, but got {text!r}")
    return items


def _integers(name: str, text: str | None) -> tuple[int, ...] | None:
    items = _list(text)
    try:
        return None if items is None else tuple(int(item) for item in items)
    except ValueError:
        raise ValueError(f"{name} must be one or more integers, but got {text!r}") from None


def _seeds(text: str | None) -> tuple[int, ...] | None:
    seeds = _integers("--seeds", text)
    if seeds is None or text is None or "," in text:
        return seeds
    if seeds[0] < 1:
        raise ValueError(f"--seeds must be at least 1, but got {text!r}")
    return tuple(range(seeds[0]))


def _name_and_value(option: str, what: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{option} must be {what}=VALUE, but got {text!r}")
    return name, value
