"""Trials that call a Python function, instead of running a script."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from syne_tune.config_space import Categorical, Domain
from syne_tune.util import dump_json_with_numpy

from syne_hypersched._wording import counted
from syne_hypersched.backends.function._tune_function import serialise
from syne_hypersched.backends.local import ElasticLocalBackend, LaunchMode, Processes, ResizeMode, heavy_modules
from syne_hypersched.backends.machine.discovery import DeviceType
from syne_hypersched.filenames import FUNCTION_DIRNAME, FUNCTION_FILENAME, FUNCTION_RECORD_FILENAME

_ENTRY_POINT = Path(__file__).with_name("_entry_point.py")


class ElasticPythonBackend(ElasticLocalBackend):
    """Tunes a Python function on this machine, and changes the number of devices of its calls while they run.

    Example::

        def train(lr, epochs, st_checkpoint_dir):
            ...  # goes on from what is in st_checkpoint_dir, and reports with syne_tune.Reporter

        config_space = {"lr": loguniform(1e-4, 1), "epochs": 50}
        backend = ElasticPythonBackend(train, config_space, num_devices=4)
        tuner = Tuner(backend, scheduler, StoppingCriterion(max_wallclock_time=3600), n_workers=4)

    To :class:`ElasticLocalBackend` what Syne Tune's ``PythonBackend`` is to its ``LocalBackend``: a trial calls
    ``tune_function`` with its configuration, in processes of its own, one for each device unless
    ``processes="single"``. The function reports with :class:`syne_tune.Reporter`; only rank 0's reports count. If it
    has a parameter ``st_checkpoint_dir``, that is the path, a string, of the folder for its checkpoints, which the
    function creates. It must go on from the checkpoint there, since a trial that is resized or resumed calls it again.

    The function is stored in the experiment's folder as it is when the backend is made, with the values of the globals
    that it uses. So it may be defined in a notebook and use modules that are imported there, helper functions and
    classes. What it takes from a module is imported by the trial, with the ``sys.path`` of this process. Relative
    imports do not work inside it, and a large data set is better read by the function than taken from a global.

    Deviations from Syne Tune's ``PythonBackend``, which strips a function of its globals, defaults and enclosing
    variables: these work. Values keep their types, where there ``False`` becomes ``True``. A changed function under the
    name of an old experiment is an error, where there the old function is called.

    Parameters
    ----------
    tune_function
        Function to be tuned, made by ``def`` or ``lambda``. It takes every entry of ``config_space`` by keyword.
    config_space
        Configuration space of the scheduler: domains and constants. Values must be such that JSON keeps them: numbers,
        strings, booleans, ``None``, and lists and dictionaries of them.
    num_devices
        Devices to share out; by default all GPUs that ``CUDA_VISIBLE_DEVICES`` shows or, without GPUs, one CPU slot for
        each core that this process may use (or is granted by its control groups). A CPU slot is a share of the cores:
        its trial is pinned to it, with ``OMP_NUM_THREADS`` to match, and sees no GPU. ``Tuner(n_workers=...)`` must not
        be larger.
    num_devices_per_trial
        Devices with which trials start and resume.
    device_type
        ``"gpu"``, ``"cpu"``, or ``"auto"``: GPUs if any is visible, else CPU slots.
    gpus_to_use
        Positions among the visible GPUs, if not all are to be used.
    processes
        ``"per_device"``: a trial with several devices has one process for each, with the environment of
        ``torch.distributed`` (``RANK``, ``LOCAL_RANK``, ``WORLD_SIZE``, ``MASTER_ADDR``, ``MASTER_PORT``); every
        process sees all devices of its trial, as under ``torchrun``. Only rank 0's reports count. ``"single"``: one
        process that sees all devices of its trial, for functions that know nothing of ranks.
    launch
        ``"warm"`` forks trials from a server that has imported the heavy libraries already, which takes hundredths of a
        second; ``"cold"`` starts a new interpreter each time; by default warm.
    preload
        Modules that the server of warm launches imports; by default dill and those of numpy, pandas, scipy, sklearn,
        syne_tune, torch and torchvision that the function imports or uses. A module must not use a GPU or start threads
        when it is imported.
    grace_s
        Seconds from SIGTERM, which asks a trial to checkpoint and exit, to SIGKILL.
    time_attr
        Entry of a report that is the resource level. Schedulers of this package say it themselves; with other
        schedulers it lets the backend drop what a resumed trial reports again.
    retries, retry_backoff_s
        A trial whose launch fails is launched again from its checkpoint after ``retry_backoff_s`` seconds, which double
        each time, and has failed when ``retries`` launches in a row have brought no new report. ``docs/failures.md``
        has the exceptions.
    stall_timeout_s
        A launch without a report for this many seconds is ended, and has failed. By default it may take any time.
    min_free_mb
        Megabytes that must be free where checkpoints are written. Trials wait for them before they are launched.
    delete_checkpoints
        Whether the checkpoints of trials that are over are removed while the tuning goes on, and those of the others at
        its end unless a :class:`~syne_hypersched.Journal` is kept. ``best/`` and the incumbent's checkpoints stay. By
        default all stay, as in :class:`syne_tune.backend.LocalBackend`; ``docs/failures.md`` has the rules.
    share_devices
        Whether other experiments on this machine may use the same devices. By default GPUs are not shared, and there is
        a warning for CPU slots (``docs/first-run.md``).
    resize
        ``"auto"``: processes join and leave a trial while it trains where its function can do that, as with
        :class:`~syne_hypersched.training.ElasticRun`; else it is launched again, see ``docs/joining.md``.
        ``"in_place"``: with a warning where it cannot. ``"relaunch"``: it is launched again always.
    shares_per_gpu
        Trials on one device that may be on one GPU at a time. A device is then a share of a GPU, so that there are as
        many times more. A trial that grows gets whole GPUs, see ``docs/pool.md``.

    Raises
    ------
    TypeError
        ``tune_function`` is no function, takes other arguments than ``config_space`` has, or cannot be serialised.
    ValueError
        A value of ``config_space`` is not one that JSON keeps, or another argument makes no sense.
    """

    def __init__(
        self,
        tune_function: Callable[..., object],
        config_space: Mapping[str, Any],
        num_devices: int | None = None,
        *,
        num_devices_per_trial: int = 1,
        device_type: DeviceType = "auto",
        gpus_to_use: Sequence[int] | None = None,
        processes: Processes = "per_device",
        launch: LaunchMode | None = None,
        preload: Sequence[str] | None = None,
        grace_s: float = 5.0,
        time_attr: str | None = None,
        retries: int = 2,
        retry_backoff_s: float = 1.0,
        stall_timeout_s: float | None = None,
        min_free_mb: float = 100.0,
        delete_checkpoints: bool = False,
        share_devices: bool | None = None,
        resize: ResizeMode = "auto",
        shares_per_gpu: int = 1,
    ) -> None:
        _check_values(config_space)
        self._function = serialise(tune_function, tuple(config_space))
        #: Folder in which the function has been stored by this object.
        self._stored_in: Path | None = None
        super().__init__(
            _ENTRY_POINT,
            num_devices,
            num_devices_per_trial=num_devices_per_trial,
            device_type=device_type,
            gpus_to_use=gpus_to_use,
            processes=processes,
            launch=launch,
            preload=_modules_to_preload(self._function.imports) if preload is None else preload,
            grace_s=grace_s,
            time_attr=time_attr,
            retries=retries,
            retry_backoff_s=retry_backoff_s,
            stall_timeout_s=stall_timeout_s,
            min_free_mb=min_free_mb,
            delete_checkpoints=delete_checkpoints,
            share_devices=share_devices,
            pass_args_as_json=True,
            resize=resize,
            shares_per_gpu=shares_per_gpu,
        )

    def entrypoint_path(self) -> Path:
        """The name of the function, after which Syne Tune names an experiment."""
        name = self._function.name
        return Path(name if name.isidentifier() else "function")

    def set_path(self, results_root: str | None = None, tuner_name: str | None = None) -> None:
        """Called by the tuner, and by a resume before anything else.

        Raises
        ------
        RuntimeError
            Another version of Python has stored the function, or another tuner uses the folder.
        """
        self._function.check_python()
        super().set_path(results_root=results_root, tuner_name=tuner_name)

    def __str__(self) -> str:
        return f"elastic local function {self._function.name} on {counted(self.num_devices, 'device')}"

    def _schedule(self, trial_id: int, config: dict[str, Any], event: str = "start") -> None:
        folder = self.local_path / FUNCTION_DIRNAME
        if self._stored_in != folder:
            self._store(folder)
        where = {
            "st_tune_function_path": str(folder / FUNCTION_FILENAME),
            "st_tune_function_sha256": self._function.sha256,
        }
        super()._schedule(trial_id, {**config, **where}, event)

    def _store(self, folder: Path) -> None:
        """Writes the function to the experiment's folder, which must not be that of another one."""
        record = folder / FUNCTION_RECORD_FILENAME
        if record.exists():
            before = json.loads(record.read_text(encoding="utf-8"))
            python = before.get("python", self._function.python)
            if python != self._function.python:
                raise ValueError(
                    f"Python must be of the version {python}, with which the experiment in {folder.parent} was "
                    f"started, but is {self._function.python}: compiled code does not show whether tune_function "
                    f"{self._function.name} is the same. Resume the experiment with the former"
                )
            if before["fingerprint"] != self._function.fingerprint:
                raise ValueError(
                    f"tune_function must be the one with which the experiment in {folder.parent} was started, "
                    f"{before['name']} with fingerprint {before['fingerprint'][:12]}, but got {self._function.name} "
                    f"with {self._function.fingerprint[:12]}: a changed function needs another tuner_name"
                )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # objects that the function uses are stored with it
        described = {
            "name": self._function.name, "fingerprint": self._function.fingerprint, "python": self._function.python
        }  # fmt: skip
        for name, content in (
            (FUNCTION_FILENAME, self._function.stored),
            (FUNCTION_RECORD_FILENAME, json.dumps(described).encode()),
        ):
            aside = folder / f"{name}.new"
            aside.write_bytes(content)
            os.replace(aside, folder / name)
        self._stored_in = folder


def _modules_to_preload(imports: Sequence[str]) -> tuple[str, ...]:
    """Modules that the server of warm launches imports: dill, which loads functions, and heavy libraries of theirs."""
    return ("dill", *heavy_modules(imports))


def _check_values(config_space: object) -> None:
    if not isinstance(config_space, Mapping) or not all(isinstance(name, str) for name in config_space):
        raise TypeError(f"config_space must map names to domains and constants, but got {config_space!r}")
    for name, domain in config_space.items():
        if isinstance(domain, Domain) and not isinstance(domain, Categorical):
            continue  # of numbers
        for value in domain.categories if isinstance(domain, Categorical) else (domain,):
            try:
                kept = bool(json.loads(dump_json_with_numpy({name: value}))[name] == value)
            except (TypeError, ValueError):
                kept = False
            if not kept:
                raise ValueError(
                    "config_space must hold values that JSON keeps, such as a list instead of a tuple, "
                    f"but {name} has {value!r}"
                )
