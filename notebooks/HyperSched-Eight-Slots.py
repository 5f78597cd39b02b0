# %% [markdown]
# # HyperSched: eight slots, two minutes
#
# *I have eight devices and a limited time. Give me the best model that is possible in this time.* This is a real run of the
# default strategy. Trials are processes: they report, save checkpoints, are ended by signals, and are launched again on more
# devices. At the deadline, no process is left, and the best checkpoint is in its own folder.
#
# The network is really trained, too. Only its speed is simulated, so that the run looks the same on a laptop and on a machine
# with eight GPUs: an epoch takes some hundredths of a second, and then the trial waits, as if the device were slower. On
# several devices it waits less, like a ResNet-50, which is faster on several GPUs.

# %%
# %matplotlib inline
import os

QUICK = os.environ.get("SYNE_HYPERSCHED_QUICK") == "1"
NUM_DEVICES = 8
DEADLINE_S = 15.0 if QUICK else 120.0
MAX_EPOCHS = 81
EPOCH_S = 0.2 if QUICK else 1.5  # on one device


def speed_up(num_devices):
    """Speed-up of an epoch on several devices: 1.8 times on two, 5.6 times on eight."""
    return num_devices**0.83


print(
    f"a full run takes {MAX_EPOCHS * EPOCH_S:.0f} s on one device; there are {NUM_DEVICES} devices and {DEADLINE_S:.0f} s"
)

# %% [markdown]
# ## What is tuned
#
# The tuner tunes a function. Its arguments are the hyperparameters and the folder of its checkpoint. The function continues
# from this checkpoint, and saves before it reports. Devices matter in one line only: the function waits longer on fewer
# devices. The images are noisy, so that the network needs many epochs.

# %%
import pickle
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from syne_tune import Reporter


def noisy_digits():
    data, labels = load_digits(return_X_y=True)
    return train_test_split(data / 16 + np.random.default_rng(0).normal(0, 0.3, data.shape), labels, random_state=0)


def train(learning_rate, alpha, width, batch_size, epochs, st_checkpoint_dir):
    train_x, val_x, train_y, val_y = noisy_digits()
    model = MLPClassifier(
        (width,), solver="sgd", learning_rate_init=learning_rate, alpha=alpha, batch_size=batch_size, random_state=0
    )
    checkpoint = Path(st_checkpoint_dir) / "model.pkl"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    epoch_s = EPOCH_S / speed_up(int(os.environ["ST_NUM_DEVICES"]))
    report, result = Reporter(), {"epoch": 0}
    if checkpoint.exists():
        model, result = pickle.loads(checkpoint.read_bytes())
        report(**result)  # needed if the trial was ended just before this report; a repeated report is dropped
    for epoch in range(result["epoch"] + 1, epochs + 1):
        began = time.monotonic()
        model.partial_fit(train_x, train_y, classes=range(10))
        result = {"epoch": epoch, "val_accuracy": model.score(val_x, val_y)}
        time.sleep(max(0.0, epoch_s - (time.monotonic() - began)))
        checkpoint.with_suffix(".new").write_bytes(pickle.dumps((model, result)))
        checkpoint.with_suffix(".new").replace(checkpoint)
        report(**result)


# %% [markdown]
# ## The run
#
# `HyperSched` without further options is the default strategy. It gets the number of devices from the backend, and the
# deadline from `Deadline`. It does not know how fast a trial is on several devices: it learns this during the run.

# %%
from contextlib import redirect_stdout
from tempfile import mkdtemp

from syne_tune import Tuner
from syne_tune.config_space import choice, loguniform

from syne_hypersched import Deadline, ElasticPythonBackend, HyperSched, Journal
from syne_hypersched.experiments import QuietTunerLogger, load_run

os.environ["SYNETUNE_FOLDER"] = mkdtemp()
config_space = {
    "learning_rate": loguniform(1e-4, 5e-3),
    "alpha": loguniform(1e-6, 1e-1),
    "width": choice([16, 32, 64]),
    "batch_size": choice([32, 64, 128]),
    "epochs": MAX_EPOCHS,
}
backend = ElasticPythonBackend(
    train,
    config_space,
    num_devices=NUM_DEVICES,
    device_type="cpu",
    processes="single",  # one process that sees all devices of its trial
    share_devices=True,  # other work on these cores is no problem, because the trials wait most of the time
)
scheduler = HyperSched(
    config_space,
    metric="val_accuracy",
    time_attr="epoch",
    max_t=MAX_EPOCHS,
    do_minimize=False,
    random_seed=0,
)
tuner = Tuner(
    backend,
    scheduler,
    Deadline(DEADLINE_S, trial_backend=backend),
    n_workers=NUM_DEVICES,
    callbacks=[Journal()],
    output_logger=QuietTunerLogger(),
)
with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # hides the tables that the tuner prints
    tuner.run()
run = load_run(tuner.tuner_path)
best = run.incumbent
print(
    f"trial {best.trial_id} has the best accuracy, {best.value:.3f}, reported {DEADLINE_S - best.time_s:.1f} s before the deadline"
)

# %% [markdown]
# ## What happened
#
# Above, the accuracy of each trial; below, the trial on each device. Until admission closes, every trial has one device, and
# a trial that is behind at a rung is paused, so that a new trial can start. After that, the best few trials share all
# devices.

# %%
from syne_hypersched.experiments import draw_run

figure = draw_run(run, f"{NUM_DEVICES} slots, {DEADLINE_S:g} s, default strategy")
figure.set_size_inches(9, 7)
figure.set_dpi(100)
figure

# %% [markdown]
# ## Why
#
# Each decision has a reason, with numbers. `hypersched explain NAME` prints the same reasons.

# %%
reasons = str(scheduler.explain()).splitlines()
print("\n".join(line for line in reasons if "admission closed" in line or " resize " in line))

# %% [markdown]
# ## What is left
#
# `best/` holds the checkpoint, the configuration and the result of the best trial. It exists from the first report on, and is
# replaced atomically whenever a trial is better. On a busy machine, the checkpoint of a fast script may be one or two reports
# newer than the result; `hypersched report NAME` says so.

# %%
import json

folder = Path(tuner.tuner_path) / "best"
published = json.loads((folder / "result.json").read_text())
model, result = pickle.loads((folder / "checkpoint" / "model.pkl").read_bytes())
_, val_x, _, val_y = noisy_digits()
print(f"the result: accuracy {published['val_accuracy']:.3f} after epoch {published['epoch']}")
print(f"its checkpoint: accuracy {model.score(val_x, val_y):.3f} after epoch {result['epoch']}")
for name, value in json.loads((folder / "config.json").read_text()).items():
    print(f"{name:15}{value:.4g}")

# %% [markdown]
# Nothing was lost during the run: no device had two owners, and no epoch was reported twice or is missing. `hypersched verify
# NAME` checks this for any run.

# %%
from syne_hypersched.experiments import check_run

violations = check_run(run)
print(f"{len(run.reports)} reports, {len(violations)} violations")
assert not violations
