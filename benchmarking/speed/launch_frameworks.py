"""Seconds from the order of a trial to the first line of its script after its imports, warm and cold, by framework.

Each script trains a small classifier of handwritten digits and reports once. Cold: a new interpreter for each trial.
Warm: when the backend has learnt what the first trial imported. The seconds depend on what else the machine does.
Beside them stand the milliseconds of processor time of the trial up to this line, and the modules that its process
has imported by then, and afterwards in its training. The last columns are what one device gets done in an hour.

    python benchmarking/speed/launch_frameworks.py [--frameworks torch lightning] [--repeats 3] [--warm-only]
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import math
import os
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from syne_tune.backend.trial_status import Status  # noqa: E402

from syne_hypersched.backends import ElasticLocalBackend  # noqa: E402

#: Seconds in which modules must have been learnt. If one did not wait for it, trials would import them themselves.
PATIENCE_S = 900.0
#: At the beginning and the end of each script.
HEAD = """
import sys, time
begin = len(sys.modules)
import numpy as np
from syne_tune import Reporter
"""
TAIL = """
first_line = time.monotonic(), 1000 * time.process_time(), len(sys.modules) - begin, len(sys.modules)
data = np.load({data!r})
images, labels = data["images"], data["labels"]
report = Reporter()
loss = float(train(images, labels))
print("MARK", *first_line[:3], len(sys.modules) - first_line[3], flush=True)
report(epoch=1, loss=loss)
"""
TORCH_TRAIN = """
def train(images, labels):
    model = torch.nn.Linear(64, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    {prepare}
    for step in range(20):
        loss = torch.nn.functional.cross_entropy(model(torch.tensor(images)), torch.tensor(labels))
        optimizer.zero_grad()
        {backward}
        optimizer.step()
    return loss.item()
"""
#: For each framework: the packages that it needs, and its script.
SCRIPTS = {
    "torch": (["torch"], "import torch\n" + TORCH_TRAIN.format(prepare="", backward="loss.backward()")),
    "accelerate": (
        ["accelerate"],
        "import torch\nfrom accelerate import Accelerator\n"
        + TORCH_TRAIN.format(
            prepare="accelerator = Accelerator(cpu=True)\n    model, optimizer = accelerator.prepare(model, optimizer)",
            backward="accelerator.backward(loss)",
        ),
    ),
    "transformers": (
        ["transformers", "accelerate"],
        """
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

def train(images, labels):
    config = BertConfig(
        vocab_size=17, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=10,
    )
    data = [{"input_ids": row.astype(int), "labels": int(label)} for row, label in zip(images[:256] * 16, labels)]
    arguments = TrainingArguments(
        "/tmp/unused", max_steps=5, per_device_train_batch_size=32, report_to="none", save_strategy="no", use_cpu=True,
        disable_tqdm=True,
    )
    return Trainer(BertForSequenceClassification(config), arguments, train_dataset=data).train().training_loss
""",
    ),
    "lightning": (
        ["lightning"],
        """
import torch
import lightning as L

class Classifier(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(64, 10)

    def training_step(self, batch):
        self.loss = torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1])
        return self.loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

def train(images, labels):
    data = torch.utils.data.TensorDataset(torch.tensor(images), torch.tensor(labels))
    trainer = L.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = Classifier()
    trainer.fit(model, torch.utils.data.DataLoader(data, batch_size=128))
    return model.loss
""",
    ),
    "xgboost": (
        ["xgboost"],
        """
import xgboost

def train(images, labels):
    model = xgboost.train(
        {"objective": "multi:softprob", "num_class": 10, "max_depth": 3}, xgboost.DMatrix(images, labels), 5
    )
    return model.best_iteration if hasattr(model, "best_iteration") else 0.0
""",
    ),
    "lightgbm": (
        ["lightgbm"],
        """
import lightgbm

def train(images, labels):
    parameters = {"objective": "multiclass", "num_class": 10, "num_leaves": 7, "verbosity": -1}
    return lightgbm.train(parameters, lightgbm.Dataset(images, labels), 5).current_iteration()
""",
    ),
    "datasets": (
        ["datasets", "torch"],
        "import torch\nfrom datasets import Dataset\n"
        + TORCH_TRAIN.format(prepare="Dataset.from_dict({'label': labels})", backward="loss.backward()"),
    ),
}  # fmt: skip


@dataclass
class Times:
    """Seconds of trials of one framework."""

    to_first_line: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    processor_ms: list[float] = field(default_factory=list)
    modules: list[float] = field(default_factory=list)
    modules_later: list[float] = field(default_factory=list)

    def medians(self) -> tuple[float, ...]:
        """Of each of them."""
        return tuple(map(statistics.median, vars(self).values()))


class Learnt(logging.Handler):
    """Hears that the backend has learnt something."""

    def __init__(self) -> None:
        super().__init__()
        self.event = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if "From now on trials start with" in record.getMessage():
            self.event.set()


def run_trial(backend: ElasticLocalBackend, times: Times | None) -> None:
    """Runs one trial to its end."""
    ordered = time.monotonic()
    trial_id = backend.start_trial({}).trial_id
    while True:
        statuses, _ = backend.fetch_status_results([trial_id])
        if statuses[trial_id][1] != Status.in_progress:
            break
        backend.wait_for_news(0.05)
    ended = time.monotonic()
    log = backend.trial_path(trial_id) / "std.out"
    marks = [line.split()[1:] for line in log.read_text().splitlines() if line.startswith("MARK")]
    if statuses[trial_id][1] != Status.completed or not marks:
        raise RuntimeError(f"trial {trial_id} has failed:\n{log.with_name('std.err').read_text()[-2000:]}")
    if times is not None:
        reached, *others = map(float, marks[-1])
        times.to_first_line.append(reached - ordered)
        times.whole.append(ended - ordered)
        for values, value in zip((times.processor_ms, times.modules, times.modules_later), others, strict=True):
            values.append(value)


def measure(script: Path, folder: Path, launch: str, repeats: int) -> Times:
    """The times of some trials of a script; warm ones after something was learnt."""
    backend = ElasticLocalBackend(script, num_devices=1, device_type="cpu", launch=launch, retries=0)
    backend.set_path(str(folder / f"{script.stem}-{launch}"))
    times, learnt = Times(), Learnt()
    logger = logging.getLogger("syne_hypersched.launch")
    logger.setLevel(logging.INFO)
    logger.addHandler(learnt)
    try:
        if launch == "warm":
            run_trial(backend, None)
            # Nothing is learnt where everything is preloaded before the first launch.
            if script.stem != "trial_torch" and not learnt.event.wait(PATIENCE_S):
                raise RuntimeError(f"nothing was learnt from {script.name} in {PATIENCE_S:g} s")
        for _ in range(repeats):
            run_trial(backend, times)
    finally:
        logger.removeHandler(learnt)
        backend.stop_all()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frameworks", nargs="+", choices=SCRIPTS, default=list(SCRIPTS), metavar="NAME")
    parser.add_argument("--warm-only", action="store_true", help="without cold trials, which take minutes")
    parser.add_argument("--repeats", type=int, default=3, help="trials of each kind (default 3)")
    args = parser.parse_args()
    # A PyTorch for CPUs beside a torchvision for GPUs: several frameworks import it.
    path = ROOT / "tests" / "integrations" / "path"
    if path.is_dir():
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(path), os.environ.get("PYTHONPATH")]))
    print(f"load {os.getloadavg()[0]:.0f} on {len(os.sched_getaffinity(0))} cores, medians of {args.repeats}")
    print(f"{'':14}{'until the first line after the imports':^62}{'trials':>8}")
    print(
        f"{'':14}{'cold, s':>9}{'warm, s':>9}{'to torch':>9}{'warm, ms':>10}{'to torch':>9}{'modules':>9}{'later':>7}",
        end="",
    )
    print(f"{'an hour':>10}{'cold':>7}")
    reference: tuple[float, ...] | None = None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images, labels = load_digits(return_X_y=True)
        np.savez(folder / "digits.npz", images=(images / 16).astype(np.float32), labels=labels)
        for framework in args.frameworks:
            packages, text = SCRIPTS[framework]
            missing = [package for package in packages if importlib.util.find_spec(package) is None]
            if missing:
                print(f"{framework:14}{', '.join(missing)} not installed")
                continue
            script = folder / f"trial_{framework}.py"
            script.write_text(HEAD + text + TAIL.format(data=str(folder / "digits.npz")))
            cold = math.nan, math.nan
            if not args.warm_only:
                cold = measure(script, folder, "cold", args.repeats).medians()[:2]
            warm = measure(script, folder, "warm", args.repeats).medians()
            reference = warm if framework == "torch" else reference
            ratios = ["" if reference is None else f"{warm[index] / reference[index]:.1f}x" for index in (0, 2)]
            print(f"{framework:14}{cold[0]:9.2f}{warm[0]:9.2f}{ratios[0]:>9}{warm[2]:10.0f}{ratios[1]:>9}", end="")
            print(f"{warm[3]:9.0f}{warm[4]:7.0f}{3600 / warm[1]:10.0f}{3600 / cold[1]:7.0f}", flush=True)


if __name__ == "__main__":
    main()
