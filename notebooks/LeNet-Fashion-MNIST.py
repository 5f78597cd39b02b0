# %% [markdown]
# # LeNet on Fashion-MNIST: tuning a function
#
# In a notebook, the training code is usually a function and not a script. `ElasticPythonBackend` tunes a function: every
# trial calls it in its own processes, one process per device. After a pause or a resize, the function is called again and
# continues from its checkpoint. Three schedulers get the same devices and the same time: ASHA, PASHA and HyperSched.
#
# The data are the four IDX files of [Fashion-MNIST](https://github.com/zalandoresearch/fashion-mnist), compressed or not. Set
# the environment variable `SYNE_HYPERSCHED_FASHION_MNIST` to their folder. Without this variable, the notebook uses
# scikit-learn's handwritten digits, enlarged to the same size, and every title says so. These are a much easier task.

# %%
# %matplotlib inline
import gzip
import math
import os
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn import functional
from torch.utils.data import TensorDataset

FOLDER = os.environ.get("SYNE_HYPERSCHED_FASHION_MNIST")
DATA = f"files in {Path(FOLDER).name}" if FOLDER else "STAND-IN for Fashion-MNIST: enlarged digits of scikit-learn"


def read_idx(folder, name):
    """An array from an IDX file: two zero bytes, a type, the number of dimensions, their lengths, and the bytes."""
    path = next(path for path in (Path(folder) / name, Path(folder) / f"{name}.gz") if path.is_file())
    content = path.read_bytes()
    content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    start = 4 + 4 * content[3]
    shape = tuple(map(int, np.frombuffer(content, ">u4", count=content[3], offset=4)))
    if content[:3] != b"\0\0\x08" or len(content) != start + math.prod(shape):
        raise ValueError(f"{path} must be an IDX file of bytes, but its header and its {len(content)} bytes do not fit")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def load_data(folder, val_share=1 / 6):
    """Images (n, 1, 28, 28) as bytes and labels (n,), for training and for validation."""
    if folder:
        names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
        images, labels = (torch.from_numpy(read_idx(folder, name)) for name in names)
        images = images.unsqueeze(1)
    else:
        images, labels = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
        images = functional.interpolate(images.view(-1, 1, 8, 8) * 255 / 16, size=28, mode="bilinear").byte()
    labels = labels.long()
    num_train = len(labels) - round(val_share * len(labels))
    return TensorDataset(images[:num_train], labels[:num_train]), TensorDataset(images[num_train:], labels[num_train:])


train_data, val_data = load_data(FOLDER)
print(f"{DATA}: {len(train_data):,} images to train on, {len(val_data):,} to validate on")

# %% [markdown]
# ## The function
#
# The arguments of the function are the hyperparameters and `st_checkpoint_dir`. The function is an ordinary training loop
# inside an `ElasticRun`, which gives each process its share of every batch, restores the checkpoint, and reports. Names of
# this notebook that the function uses, such as `load_data` and `lenet`, are stored with the function. The trial imports names
# that come from a module.

# %%
from torch import nn

from syne_hypersched.training import BatchDropout, ElasticRun


class Centred(nn.Module):
    """Bytes as numbers around zero."""

    def forward(self, images):
        return images.float() / 255 - 0.5


def lenet(width, dropout):
    """With `width=8`, about as large as LeNet-5 (LeCun et al., 1998)."""
    layers = nn.Sequential(
        *(Centred(), nn.Conv2d(1, width, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(width, 2 * width, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(50 * width, 16 * width), nn.ReLU(), BatchDropout(dropout)),
        *(nn.Linear(16 * width, 10 * width), nn.ReLU(), BatchDropout(dropout)),
        nn.Linear(10 * width, 10),
    )
    for module in layers:
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            # PyTorch's default weights are smaller: the signal fades, and the loss falls only after some epochs.
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return layers


def train(learning_rate, momentum, weight_decay, dropout, width, batch_size, epochs, st_checkpoint_dir):
    train_data, val_data = load_data(FOLDER)
    with ElasticRun(st_checkpoint_dir) as run:
        model = run.wrap(lenet(width, dropout))
        run.track(
            optimizer=torch.optim.SGD(
                model.parameters(), lr=learning_rate, momentum=momentum, weight_decay=weight_decay
            )
        )
        batches = run.loader(train_data, batch_size)
        val_batches = run.loader(val_data, batch_size=500, train=False)
        for _ in run.epochs(epochs):
            for images, labels in batches:
                loss = functional.cross_entropy(model(images), labels)
                run.step(loss)
                run.add(train_loss=loss)
            with run.validating():
                for images, labels in val_batches:
                    is_right = model(images).argmax(dim=1) == labels
                    run.add(val_accuracy=is_right.float().mean())
            run.report()


# %% [markdown]
# ## Three schedulers
#
# This needs only Syne Tune's own `Tuner`. ASHA and PASHA pause trials at rungs and resume the good ones. PASHA trains them
# only up to a cap, which rises only while the ranking of the best trials changes. On two devices, HyperSched with its default
# strategy resizes no trial, because a last stretch in which few trials share the devices does not pay. The notebook
# `HyperSched-Eight-Slots` shows a run with a last stretch. The deadline counts wall-clock seconds. After the deadline no
# process of a trial is left.

# %%
import logging
from contextlib import redirect_stdout
from tempfile import mkdtemp

from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import choice, loguniform, uniform
from syne_tune.results_callback import StoreResultsCallback

from syne_hypersched import ASHA, PASHA, Deadline, ElasticPythonBackend, HyperSched
from syne_hypersched.experiments import QuietTunerLogger, load_run

logging.getLogger().setLevel(logging.ERROR)  # otherwise a message says that two devices are too few to resize
os.environ["SYNETUNE_FOLDER"] = mkdtemp()  # Syne Tune's results, and the checkpoints
QUICK = os.environ.get("SYNE_HYPERSCHED_QUICK") == "1"
DEADLINE_S = 900.0 if FOLDER else 120.0
MAX_REPORTS = 6 if QUICK else None
NUM_DEVICES = None if torch.cuda.is_available() else 2  # all GPUs, or two CPU slots
MAX_EPOCHS = 27 if FOLDER else 81
CONFIG_SPACE = {
    "learning_rate": loguniform(2e-3, 0.2),
    "momentum": uniform(0.0, 0.95),
    "weight_decay": loguniform(1e-6, 1e-2),
    "dropout": uniform(0.0, 0.5),
    "width": choice([4, 8]),
    "batch_size": choice([16, 32, 64]),
    "epochs": MAX_EPOCHS,
}
PROBLEM = {
    "config_space": CONFIG_SPACE,
    "metric": "val_accuracy",
    "time_attr": "epoch",
    "max_t": MAX_EPOCHS,
    "do_minimize": False,
    "random_seed": 0,
}


def tune(make_scheduler):
    backend = ElasticPythonBackend(train, CONFIG_SPACE, num_devices=NUM_DEVICES)
    deadline = Deadline(DEADLINE_S, trial_backend=backend)
    enough = StoppingCriterion(max_num_evaluations=MAX_REPORTS)
    tuner = Tuner(
        trial_backend=backend,
        scheduler=make_scheduler(backend.num_devices),
        stop_criterion=lambda status: deadline(status) or enough(status),
        n_workers=backend.num_devices,
        max_failures=10,
        sleep_time=0.05,
        callbacks=[StoreResultsCallback()],
        output_logger=QuietTunerLogger(),
    )
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # hides the tables that the tuner prints
        tuner.run()
    return load_run(tuner.tuner_path)


runs = {
    "ASHA": tune(lambda num_devices: ASHA(**PROBLEM, type="promotion", max_resource_attr="epochs")),
    "PASHA": tune(lambda num_devices: PASHA(**PROBLEM, max_resource_attr="epochs")),
    "HyperSched": tune(lambda num_devices: HyperSched(**PROBLEM, num_devices=num_devices, deadline_s=DEADLINE_S)),
}

# %%
import pandas as pd
from IPython.display import HTML

from syne_hypersched.experiments import holdings, trial_table

rows = []
for name, run in runs.items():
    trials = trial_table(run)
    best = run.incumbent
    rows.append(
        {
            "scheduler": name,
            "best accuracy": best.value,
            "at epoch": int(best.resource),
            "found after (s)": round(best.time_s, 1),
            "trials": len(trials),
            "epochs": int(sum(trial.resource for trial in trials)),
            "launches": len(holdings(run.events)),
            "lost to launches (s)": round(sum(trial.launch_cost_s or 0.0 for trial in trials), 1),
        }
    )
caption = f"{DATA}; {len(runs['ASHA'].devices)} devices, {DEADLINE_S:g} s"
html = pd.DataFrame(rows).set_index("scheduler").to_html(float_format="{:.4g}".format)
HTML(html.replace("<thead>", f"<caption>{caption}</caption><thead>", 1))

# %% [markdown]
# ## The learning curve of every trial
#
# Each line is a launch. It is thicker on more devices. A dotted line joins the launches of a trial that was paused or
# relaunched. The star is the best result. Before the first reports, PyTorch is imported, once for all trials of a scheduler.
# The stored pictures are from a busy machine with two cores.

# %%
import matplotlib.pyplot as plt


def draw_curves(axes, run, title):
    launches = {}
    for report in run.reports:
        launches.setdefault(report.trial_id, {}).setdefault(report.launch, []).append(report)
    for number, launches_of_trial in enumerate(launches.values()):
        colour = plt.colormaps["tab20"](number % 20)
        joined = [report for reports in launches_of_trial.values() for report in reports]
        axes.plot([r.time_s for r in joined], [r.value for r in joined], ":", color=colour, linewidth=0.8)
        for reports in launches_of_trial.values():
            axes.plot(
                [r.time_s for r in reports],
                [r.value for r in reports],
                color=colour,
                linewidth=1.4 * reports[0].num_devices,
                marker="o",
                markersize=2.5,
            )
    best = run.incumbent
    axes.plot(best.time_s, best.value, "*", color="black", markersize=12)
    axes.set_title(f"{title}: best accuracy {best.value:.3f}", loc="left", fontsize=10)
    axes.set_ylabel("validation accuracy")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)


figure, panels = plt.subplots(
    len(runs), figsize=(9, 2.8 * len(runs)), sharex=True, sharey=True, layout="constrained", dpi=100
)
for axes, (name, run) in zip(panels, runs.items(), strict=True):
    draw_curves(axes, run, name)
panels[-1].set_xlabel("seconds since the tuning started")
panels[-1].set_xlim(0, DEADLINE_S)
figure.suptitle(DATA)
plt.show()

# %% [markdown]
# ## The trial on each device
#
# This picture shows the same run of HyperSched, with its devices below.

# %%
from syne_hypersched.experiments import draw_run

figure = draw_run(runs["HyperSched"], f"HyperSched; {DATA}")
figure.set_size_inches(9, 5)
figure.set_dpi(100)
figure

# %% [markdown]
# One run of each scheduler on one machine shows how the schedulers work, but not which is better. For a comparison, see
# `HyperSched-Deadlines`, where every difference has an interval.
