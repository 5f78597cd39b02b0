"""Lightning's Trainer under a tuner: real processes, a small model."""

from __future__ import annotations

import importlib.util

import pytest

from syne_hypersched.checkpoint_folder import CheckpointFolder
from tests.integrations import _elastic

if importlib.util.find_spec("lightning") is None:
    pytest.skip("no lightning", allow_module_level=True)
pytestmark = pytest.mark.usefixtures("no_process_left")

SCRIPT = """
import warnings
import torch
from torch.utils.data import DataLoader, TensorDataset
import lightning as L
from lightning.pytorch.callbacks import EarlyStopping
from syne_hypersched.integrations.lightning import ElasticCallback

warnings.simplefilter("ignore")
class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    def loss(self, batch):
        x, y = batch
        return torch.nn.functional.mse_loss(self.net(x), y)
    def training_step(self, batch, index):
        wait_for_sigterm(self.current_epoch, lambda: elastic._sigterm.has_come)
        return self.loss(batch)
    def validation_step(self, batch, index):
        self.log("val_loss", self.loss(batch))
    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=0.02)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)]
    def on_save_checkpoint(self, checkpoint):
        if self.global_step == 32 and once("died"):
            (aside,) = Path(args.st_checkpoint_dir).glob("*.aside")
            die_writing(aside / "lightning.ckpt")

L.seed_everything(0, verbose=False)
x = torch.randn(80, 4)
y = (x[:, :1] * x[:, 1:2]).sin()
elastic = ElasticCallback(
    args.st_checkpoint_dir, metrics=("val_loss",), global_batch_size=8, max_local_batch_size=int(args.option)
)
train = DataLoader(TensorDataset(x[:64], y[:64]), batch_size=elastic.local_batch_size, shuffle=True)
val = DataLoader(TensorDataset(x[64:], y[64:]), batch_size=4)
trainer = L.Trainer(
    accelerator="cpu", devices=elastic.num_devices, max_epochs=args.epochs, logger=False, num_sanity_val_steps=0,
    enable_progress_bar=False, enable_model_summary=False,
    callbacks=[elastic, EarlyStopping("val_loss", patience=99)],
)
trainer.fit(Net(), train, val, ckpt_path=elastic.ckpt_path)
"""

PRELOAD = ("syne_tune", "torch", "lightning", "syne_hypersched.integrations.lightning")


def run(folder, max_local=8, script=SCRIPT, preload=PRELOAD):
    outcome = _elastic.tune(folder, script, metric="val_loss", preload=preload,
                            config={"option": str(max_local)})  # fmt: skip
    assert len(outcome.failures()) == 1
    disturbed, undisturbed = (outcome.values(trial, "val_loss") for trial in range(2))
    assert disturbed == pytest.approx(undisturbed, abs=1e-3)
    assert set(outcome.rows.batch_size) == {8}
    assert CheckpointFolder(outcome.best).newest() is not None
    assert not list(outcome.best.glob("*.aside"))
    return outcome


@pytest.mark.slow
def test_a_trainer_is_resized_paused_and_killed_in_a_save(tmp_path):
    run(tmp_path)


@pytest.mark.slow
def test_micro_batches(tmp_path):
    run(tmp_path, max_local=4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "order",
    ["shuffle=False", "sampler=torch.utils.data.WeightedRandomSampler([1.0] * 60 + [9.0] * 4, 64)"],
    ids=["as it is", "sampler"],
)
def test_an_order_of_the_user_is_kept_on_any_number_of_devices(tmp_path, order):
    assert "shuffle=True" in SCRIPT
    run(tmp_path, script=SCRIPT.replace("shuffle=True", order))


@pytest.mark.slow
def test_the_other_package(tmp_path):
    script = SCRIPT.replace("import lightning as L", "import pytorch_lightning as L")
    script = script.replace("lightning.pytorch.callbacks", "pytorch_lightning.callbacks")
    script = script.replace("integrations.lightning", "integrations.pytorch_lightning")
    run(tmp_path, script=script, preload=("syne_tune", "torch", "pytorch_lightning"))
