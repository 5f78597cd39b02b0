"""Training scripts by name, for comparisons in real time on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from syne_tune.config_space import choice, loguniform, uniform

from syne_hypersched.backends.local import Processes
from syne_hypersched.comparison.names import unknown_name
from syne_hypersched.comparison.repository import repository
from syne_hypersched.comparison.schedulers import Problem

#: The scripts are examples in the repository. A wheel does not contain them.
SCRIPTS_FOLDER = Path("examples") / "training_scripts"


@dataclass(frozen=True)
class Option:
    """An option of a training script that is not tuned."""

    name: str
    """The name on the command line of the comparison, without dashes."""
    argument: str
    """Argument of the script."""
    description: str
    convert: Callable[[str], Any] = str
    default: Any = None
    """None: the argument is omitted."""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingScript:
    """A script with its search space and metric."""

    name: str
    description: str
    path: Path
    """Absolute, or relative to the repository."""
    config_space: Mapping[str, Any]
    metric: str
    do_minimize: bool
    max_t: int
    max_t_argument: str = "epochs"
    time_attr: str = "epoch"
    options: tuple[Option, ...] = ()
    processes: Processes = "per_device"
    """As in :class:`~syne_hypersched.ElasticLocalBackend`. ``"single"``: the script does not support ranks."""

    def problem(self, options: Sequence[tuple[str, str]], max_t: int | None = None) -> Problem:
        """The optimisation problem of the script with these options.

        Parameters
        ----------
        options
            Names and values of options, the values as text.
        max_t
            Resource at which training ends; by default the script's own.

        Raises
        ------
        ValueError
            An option is unknown, or its value is not allowed.
        """
        max_t = self.max_t if max_t is None else max_t
        known = {option.name: option for option in self.options}
        space = {**self.config_space, self.max_t_argument: max_t}
        for option in self.options:
            if option.default is not None:
                space[option.argument] = option.default
        for name, text in options:
            if name not in known:
                raise unknown_name(f"option of {self.name!r}", name, known)
            option = known[name]
            if option.choices and text not in option.choices:
                raise unknown_name(name, text, option.choices)
            try:
                space[option.argument] = option.convert(text)
            except ValueError:
                raise ValueError(f"--{name} of {self.name!r} must be {option.description}, but got {text!r}") from None
        return Problem(space, self.metric, self.do_minimize, self.time_attr, max_t)


_DIGITS = TrainingScript(
    name="digits-cnn",
    description="a small CNN on scikit-learn's handwritten digits",
    path=SCRIPTS_FOLDER / "digits_cnn.py",
    config_space={
        "learning_rate": loguniform(3e-3, 0.5),
        "momentum": uniform(0.0, 0.97),
        "weight_decay": loguniform(1e-6, 1e-2),
        "width": choice([8, 12, 16]),
        "dropout": uniform(0.0, 0.5),
        "batch_size": choice([128, 256, 512]),
    },
    metric="val_accuracy",
    do_minimize=False,
    max_t=81,
)

_SCRIPTS = (
    _DIGITS,
    replace(
        _DIGITS,
        name="digits-cnn-table",
        description="the same in the search space and with the data of the table digits",
        config_space={
            "learning_rate": loguniform(1e-3, 1.0),
            "final_lr_factor": loguniform(1e-3, 1.0),
            "momentum": uniform(0.0, 0.99),
            "weight_decay": loguniform(1e-6, 1e-1),
            "dropout": uniform(0.0, 0.6),
            "batch_size": choice([64, 128, 256, 512]),
            "width": choice([4, 8, 16]),
            "val_share": 0.5,
            "train_copies": 1,
        },
    ),
    TrainingScript(
        name="mnist",
        description="a small CNN in the manner of LeNet on MNIST, from IDX files",
        path=SCRIPTS_FOLDER / "mnist.py",
        config_space={
            "learning_rate": loguniform(1e-3, 0.3),
            "momentum": uniform(0.5, 0.97),
            "weight_decay": loguniform(1e-6, 1e-2),
            "width": choice([4, 8, 12]),
            "dropout": uniform(0.0, 0.5),
            "batch_size": choice([64, 128, 256]),
        },
        metric="val_accuracy",
        do_minimize=False,
        max_t=81,
        options=(
            Option("data", "data_dir", "the folder of the IDX files"),
            Option("num-train", "num_train", "a number of images to train on", convert=int, default=5000),
            Option("num-val", "num_val", "a number of images to validate on", convert=int, default=2000),
        ),
    ),
    TrainingScript(
        name="checkpoint-example",
        description="pretends to train, for a first try: needs no PyTorch",
        path=SCRIPTS_FOLDER / "checkpoint_example.py",
        config_space={"learning_rate": loguniform(1e-5, 1.0)},
        metric="loss",
        do_minimize=True,
        max_t=81,
        max_t_argument="num_epochs",
        options=(Option("sleep-time", "sleep_time", "seconds that an epoch takes", convert=float, default=0.2),),
        processes="single",
    ),
)


def script_names() -> dict[str, str]:
    """The script names, with descriptions; empty if the package was installed from a wheel, without the examples."""
    return {} if repository() is None else {script.name: script.description for script in _SCRIPTS}


def find_script(name: str) -> TrainingScript:
    """The script with a given name.

    Raises
    ------
    ValueError
        There is no such script.
    FileNotFoundError
        The package was installed from a wheel.
    """
    root = repository()
    for script in _SCRIPTS:
        if script.name == name:
            if root is None:
                raise FileNotFoundError(
                    f"the training script {name!r} is {script.path} in the repository of syne-hypersched, which is not "
                    "part of the installed package: run the comparison in a clone of the repository"
                )
            return replace(script, path=root / script.path)
    raise unknown_name("training script", name, [script.name for script in _SCRIPTS])
