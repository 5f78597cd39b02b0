"""What Lightning's trainer forgets of an epoch: the counts alone, and real runs that leave and go on."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from syne_hypersched.integrations._lightning_epochs import (  # noqa: E402
    can_go_on_inside,
    go_on,
    is_validation_next,
    plateaus,
    step_plateaus,
)


def loops(current, total, is_last=False, completed=None):
    counts = dict.fromkeys(("ready", "started", "processed", "completed"), current)
    counts["completed"] = current if completed is None else completed
    progress = {"current": counts, "total": dict.fromkeys(counts, total), "is_last_batch": is_last}
    return {"epoch_loop.batch_progress": progress, "epoch_progress": {"current": {"processed": 2}}}


def test_micro_batches_inside_an_epoch_are_counted_again():
    state = loops(current=8, total=56, completed=7)  # two epochs of 24 micro-batches, 4 for each step
    assert go_on(state, before=4, now=2) == (2, 2)
    progress = state["epoch_loop.batch_progress"]
    assert progress["current"] == {"ready": 4, "started": 4, "processed": 4, "completed": 3}
    assert progress["total"]["ready"] == 28


def test_at_the_end_of_an_epoch_the_ones_before_are_counted_again():
    state = loops(current=24, total=48, is_last=True)
    assert go_on(state, before=4, now=2) == (2, 0)
    assert state["epoch_loop.batch_progress"]["current"]["ready"] == 24  # the next epoch begins with 0
    assert state["epoch_loop.batch_progress"]["total"]["ready"] == 36
    same = loops(current=24, total=48, is_last=True)
    assert go_on(same, before=2, now=2) == (2, 0)
    assert same == loops(current=24, total=48, is_last=True)


def trainer_with(**changed):
    results = {"training_step.loss": SimpleNamespace(meta=SimpleNamespace(name="loss", on_epoch=True))}
    results["training_step.now"] = SimpleNamespace(meta=SimpleNamespace(name="now", on_epoch=False))
    loop = SimpleNamespace(_results=results, batch_idx=5, _should_check_val_fx=lambda fetcher: fetcher == "data")
    given = {
        "callbacks": [], "lr_scheduler_configs": [], "callback_metrics": {"val": torch.tensor(0.25)},
        "current_epoch": 1, "lightning_module": SimpleNamespace(automatic_optimization=True),
        "fit_loop": SimpleNamespace(
            epoch_loop=loop, _data_fetcher="data", _combined_loader=SimpleNamespace(flattened=[0])
        ),
    }  # fmt: skip
    return SimpleNamespace(**{**given, **changed})


class StochasticWeightAveraging:
    pass


class AveragesMore(StochasticWeightAveraging):
    pass


def test_an_epoch_goes_on_inside_unless_something_depends_on_all_of_it():
    assert can_go_on_inside(trainer_with(), ("val", "now"))
    assert not can_go_on_inside(trainer_with(), ("val", "loss"))
    assert not can_go_on_inside(trainer_with(), ("loss_epoch",))
    assert not can_go_on_inside(trainer_with(callbacks=[SimpleNamespace(monitor="loss")]), ("val",))
    assert not can_go_on_inside(trainer_with(callbacks=[AveragesMore()]), ("val",))
    two = trainer_with()
    two.fit_loop._combined_loader.flattened = [0, 1]
    assert not can_go_on_inside(two, ("val",))


def test_a_validation_by_the_clock_is_not_foreseen():
    assert is_validation_next(trainer_with())
    assert not is_validation_next(trainer_with(_val_check_time_interval=3.0))


def scheduler(interval, frequency=1, on_plateau=True, monitor="val"):
    return SimpleNamespace(
        scheduler=f"{interval}-{frequency}", interval=interval, frequency=frequency, reduce_on_plateau=on_plateau,
        monitor=monitor,
    )  # fmt: skip


def test_schedulers_that_wait_for_a_metric_step_when_they_are_due():
    stepped = []
    module = SimpleNamespace(automatic_optimization=True, lr_scheduler_step=lambda *each: stepped.append(each))
    configs = [
        scheduler("epoch"), scheduler("epoch", 2), scheduler("epoch", 3), scheduler("epoch", on_plateau=False),
        scheduler("epoch", monitor="missing"), scheduler("step", 6), scheduler("step", 4),
    ]  # fmt: skip
    trainer = trainer_with(lr_scheduler_configs=configs, lightning_module=module)
    assert plateaus(trainer, "epoch") == {"0": 0.25, "1": 0.25}
    assert plateaus(trainer, "step") == {"5": 0.25}
    step_plateaus(trainer, json.loads(json.dumps(plateaus(trainer, "epoch"))))
    assert stepped == [("epoch-1", 0.25), ("epoch-2", 0.25)]
    module.automatic_optimization = False  # the module steps by itself
    assert plateaus(trainer, "epoch") == {}


#: Runs in one process, and is asked to leave at steps of the test's choice.
ALONE = """
import json, os, signal, sys, warnings
from argparse import Namespace
import lightning as L
import torch
from lightning.pytorch import callbacks as C
from torch.utils.data import DataLoader, Subset, TensorDataset
from syne_hypersched.integrations.lightning import ElasticCallback

warnings.simplefilter("ignore")
folder, kind = sys.argv[1:3]
leave = sys.argv[3:]

class Leave(L.Callback):
    def at(self, trainer, moment):
        if f"{moment}-{trainer.global_step}" in leave:
            os.kill(os.getpid(), signal.SIGTERM)
    def on_train_batch_start(self, trainer, *rest):
        self.at(trainer, "step")
    def on_train_epoch_end(self, trainer, module):
        self.at(trainer, "end")

class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
        if kind == "hyperparameters":
            self.save_hyperparameters(Namespace(rate=0.02))
        self.backbone = self.net[0]
    def loss(self, batch):
        return torch.nn.functional.mse_loss(self.net(batch[0]), batch[1])
    def training_step(self, batch, index):
        loss = sum(map(self.loss, batch)) if kind == "two loaders" else self.loss(batch)
        self.log("loss", loss, on_epoch=True, on_step=False)
        return loss
    def validation_step(self, batch, index):
        self.log("val_loss", self.loss(batch))
    def configure_optimizers(self):
        optimizer = torch.optim.Adam([each for each in self.parameters() if each.requires_grad], lr=0.02)
        if kind == "total steps":
            steps = self.trainer.estimated_stepping_batches
            scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=steps)
            return [optimizer], [{"scheduler": scheduler, "interval": "step"}]
        if kind == "plateau":
            scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", patience=0, factor=0.5)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}
        return optimizer

L.seed_everything(0, verbose=False)
x = torch.randn(48, 4)
data = TensorDataset(x, (x[:, :1] * x[:, 1:2]).sin())
elastic = ElasticCallback(
    folder, ("loss" if kind == "training metric" else "val_loss",), global_batch_size=8,
    reporter=lambda **report: print("report", json.dumps(report), flush=True),
)
workers = {"num_workers": 1, "persistent_workers": True} if kind == "total steps" else {}
train = DataLoader(Subset(data, range(32)), batch_size=elastic.local_batch_size, shuffle=True, **workers)
loaders = [train, DataLoader(Subset(data, range(16)), batch_size=8, shuffle=True)] if kind == "two loaders" else train
options = {
    "max_steps": {"max_steps": 14, "max_epochs": -1},
    "training metric": {"limit_val_batches": 0},
    "counted validations": {"check_val_every_n_epoch": None, "val_check_interval": 6},
    "some validations": {"check_val_every_n_epoch": 2},
}.get(kind, {})
callbacks = [C.EarlyStopping("val_loss", mode="max", patience=1)] if kind == "early stopping" else []
callbacks += [C.BackboneFinetuning(1, lambda epoch: 1.5, 0.1)] if kind == "backbone" else []
callbacks += [C.StochasticWeightAveraging(0.01, 1, 1)] if kind == "averaging" else []
trainer = L.Trainer(**{
    "accelerator": "cpu", "devices": elastic.num_devices, "max_epochs": 4, "logger": False, "num_sanity_val_steps": 0,
    "enable_progress_bar": False, "enable_model_summary": False, "callbacks": [elastic, Leave(), *callbacks],
    **options,
})
net, val = Net(), DataLoader(Subset(data, range(32, 48)), batch_size=16)
if kind == "search before":
    from lightning.pytorch.tuner import Tuner
    net.lr = 0.02
    Tuner(trainer).lr_find(net, loaders, val, num_training=3, update_attr=False)
if kind == "some validations":
    trainer.validate(net, val, verbose=False)
trainer.fit(net, loaders, val, ckpt_path=None if kind == "forgotten" else elastic.ckpt_path)
assert type(train.batch_sampler.sampler).__name__ == "RandomSampler"  # as the user has made it
print("end", json.dumps([float(value) for each in net.parameters() for value in each.detach().flatten()]))
"""


def train_alone(python, folder, kind, *launches):
    """Reports and weights of launches after each other, of which each but the last one leaves."""
    folder.mkdir()
    script = folder / "alone.py"
    script.write_text(ALONE)
    reports, weights = [], []
    for leave in (*launches, ()):
        done = python.run([script, folder / "checkpoints", kind, *leave], folder, timeout_s=None)
        assert done.returncode == (75 if leave else 0), done.stderr
        lines = [line.partition(" ") for line in done.stdout.splitlines()]
        reports += [json.loads(text) for word, _, text in lines if word == "report"]
        weights += [value for word, _, text in lines if word == "end" for value in json.loads(text)]
    return {report.pop("epoch"): report for report in reports}, weights, len(reports)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "launches", "epochs"),
    [
        ("max_steps", ["end-4", "step-5", "step-8"], [1, 2, 3]),
        ("total steps", ["step-5", "end-8"], [1, 2, 3, 4]),
        ("plateau", ["end-4", "step-9", "end-12"], [1, 2, 3, 4]),
        ("two loaders", ["step-6", "step-11"], [1, 2, 3, 4]),
        ("training metric", ["step-5", "step-10"], [1, 2, 3, 4]),
        ("averaging", ["step-9", "end-12"], [1, 2, 3, 4]),
        ("backbone", ["step-5", "end-8", "step-13"], [1, 2, 3, 4]),
        ("early stopping", ["step-5", "end-8"], [1, 2]),
        ("counted validations", ["step-5", "step-9"], [2, 3]),
        ("some validations", ["step-2", "end-8"], [2, 4]),
        ("hyperparameters", ["step-5"], [1, 2, 3, 4]),
        ("search before", ["step-5", "end-12"], [1, 2, 3, 4]),
    ],
)
def test_a_run_that_was_left_gives_what_an_undisturbed_one_gives(tmp_path, forked_lightning, kind, launches, epochs):
    whole, weights, _ = train_alone(forked_lightning, tmp_path / "whole", kind)
    left, weights_of_left, num_reports = train_alone(
        forked_lightning, tmp_path / "left", kind, *([each] for each in launches)
    )
    assert sorted(whole) == sorted(left) == epochs
    assert num_reports == len(epochs)
    for epoch in epochs:
        assert left[epoch] == pytest.approx(whole[epoch], abs=1e-3)
    assert weights_of_left == pytest.approx(weights, abs=1e-3)


@pytest.mark.slow
def test_a_launch_that_would_begin_again_is_refused(tmp_path, forked_lightning):
    folder = tmp_path / "run"
    with pytest.raises(AssertionError, match=r"ckpt_path of fit must be ckpt_path of the callback.* but got None"):
        train_alone(forked_lightning, folder, "forgotten", ["step-5"])
