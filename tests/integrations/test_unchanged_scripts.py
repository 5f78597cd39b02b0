"""Scripts for torchrun, accelerate and Fabric, as their own tutorials have them: nothing is added but the report."""

from __future__ import annotations

import importlib.util
import textwrap

import pytest

from tests.installed import skip_without
from tests.integrations import _elastic

skip_without("torch")
pytestmark = pytest.mark.usefixtures("no_process_left")

#: What the three scripts learn, and where the first trial is disturbed: in the middle of an epoch.
DATA = """
import torch
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.randn(64, 4)
data = TensorDataset(x, (x[:, :1] * x[:, 1:2]).sin())
model = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
loss_of = torch.nn.functional.mse_loss
batch_size = 16 // int(os.environ["WORLD_SIZE"])

def disturb(epochs_done):
    wait_for_sigterm(epochs_done, lambda: False)  # SIGTERM is left to its default

DIES_AT = waits[2] + 1
write = torch.save

def save_or_die(state, file, *rest, **options):
    if isinstance(state, dict) and state.get("epochs_run") == DIES_AT and once("died"):
        # Fabric serialises into memory, and then writes this file.
        die_writing(file if isinstance(file, (str, Path)) else os.path.join(args.st_checkpoint_dir, "state.ckpt"))
    write(state, file, *rest, **options)

torch.save = save_or_die
"""

#: After https://docs.pytorch.org/tutorials/beginner/ddp_series_fault_tolerance.html, on CPUs.
TORCHRUN = (
    DATA
    + """
from torch.distributed import destroy_process_group, init_process_group
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.data.distributed import DistributedSampler
from syne_tune import Reporter

class Trainer:
    def __init__(self, model, train_data, optimizer, save_every, snapshot_path):
        self.local_rank = int(os.environ["LOCAL_RANK"])
        self.global_rank = int(os.environ["RANK"])
        self.model, self.train_data, self.optimizer = model, train_data, optimizer
        self.save_every, self.epochs_run, self.snapshot_path = save_every, 0, snapshot_path
        if os.path.exists(snapshot_path):
            self._load_snapshot(snapshot_path)
        self.model = DDP(self.model)

    def _load_snapshot(self, snapshot_path):
        snapshot = torch.load(snapshot_path)
        self.model.load_state_dict(snapshot["model_state"])
        self.epochs_run = snapshot["epochs_run"]

    def _run_batch(self, source, targets):
        self.optimizer.zero_grad()
        loss = loss_of(self.model(source), targets)
        loss.backward()
        self.optimizer.step()

    def _run_epoch(self, epoch):
        self.train_data.sampler.set_epoch(epoch)
        for source, targets in self.train_data:
            disturb(epoch)
            self._run_batch(source, targets)

    def _save_snapshot(self, epoch):
        os.makedirs(os.path.dirname(self.snapshot_path), exist_ok=True)
        torch.save({"model_state": self.model.module.state_dict(), "epochs_run": epoch + 1}, self.snapshot_path)

    def train(self, max_epochs):
        report = Reporter()
        for epoch in range(self.epochs_run, max_epochs):
            self._run_epoch(epoch)
            if self.global_rank == 0 and epoch % self.save_every == 0:
                self._save_snapshot(epoch)
            with torch.no_grad():
                report(epoch=epoch + 1, loss=loss_of(self.model(x), data.tensors[1]).item())

if __name__ == "__main__":
    init_process_group(backend="gloo")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(data, batch_size=batch_size, shuffle=False, sampler=DistributedSampler(data))
    Trainer(model, loader, optimizer, 1, os.path.join(args.st_checkpoint_dir, "snapshot.pt")).train(args.epochs)
    destroy_process_group()
"""
)

#: After accelerate's examples/by_feature/checkpointing.py, with a rename: it writes several files.
ACCELERATE = (
    DATA
    + """
from accelerate import Accelerator
from syne_tune import Reporter

accelerator = Accelerator()
assert accelerator.num_processes == int(os.environ["ST_NUM_DEVICES"])
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
loader = DataLoader(data, batch_size=batch_size, shuffle=False)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
class Epoch:  # accelerate calls torch.save with this
    def state_dict(self):
        return {"epochs_run": epoch + 1}
    def load_state_dict(self, state):
        pass

accelerator.register_for_checkpointing(Epoch())
starting_epoch = 0
os.makedirs(args.st_checkpoint_dir, exist_ok=True)
dirs = [f for f in os.scandir(args.st_checkpoint_dir) if not f.name.endswith(".aside")]
if dirs:
    path = max(dirs, key=lambda f: int(f.name.replace("epoch_", ""))).path
    accelerator.load_state(path)
    starting_epoch = int(os.path.basename(path).replace("epoch_", "")) + 1

report = Reporter()
for epoch in range(starting_epoch, args.epochs):
    model.train()
    for source, targets in loader:
        disturb(epoch)
        loss = loss_of(model(source), targets)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
    folder = os.path.join(args.st_checkpoint_dir, f"epoch_{epoch}")
    accelerator.save_state(folder + ".aside")
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        os.rename(folder + ".aside", folder)
    with torch.no_grad():
        loss = loss_of(model(x), data.tensors[1]).item()
    if accelerator.is_main_process:
        report(epoch=epoch + 1, loss=loss)
"""
)

FABRIC = (
    DATA
    + """
import lightning as L
from syne_tune import Reporter

fabric = L.Fabric(accelerator="cpu", devices=int(os.environ["WORLD_SIZE"]))
fabric.launch()
assert fabric.world_size == int(os.environ["ST_NUM_DEVICES"])
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
model, optimizer = fabric.setup(model, optimizer)
loader = fabric.setup_dataloaders(DataLoader(data, batch_size=batch_size))
state = {"model": model, "optimizer": optimizer, "epochs_run": 0}
path = os.path.join(args.st_checkpoint_dir, "state.ckpt")
if os.path.exists(path):
    fabric.load(path, state)
report = Reporter()
for epoch in range(state["epochs_run"], args.epochs):
    for source, targets in loader:
        disturb(epoch)
        fabric.backward(loss_of(model(source), targets))
        optimizer.step()
        optimizer.zero_grad()
    state["epochs_run"] = epoch + 1
    fabric.save(path, state)
    with torch.no_grad():
        loss = loss_of(model(x), data.tensors[1]).item()
    if fabric.global_rank == 0:
        report(epoch=epoch + 1, loss=loss)
"""
)


#: Accelerate divides each batch over the devices, whose size is then that of the step.
WHOLE_BATCHES = (
    ACCELERATE.replace("import Accelerator", "import Accelerator, DataLoaderConfiguration")
    .replace("Accelerator()", "Accelerator(dataloader_config=DataLoaderConfiguration(split_batches=True, OPTION))")
    .replace("batch_size=batch_size", "batch_size=16")
)
SHUFFLED = WHOLE_BATCHES.replace("OPTION", "use_seedable_sampler=True").replace("shuffle=False", "shuffle=True")

STEP = """\
        loss = loss_of(model(source), targets)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
"""
#: A device has always 4 samples at once, and a step has always 16.
ACCUMULATES = (
    ACCELERATE.replace("Accelerator()", "Accelerator(gradient_accumulation_steps=batch_size // 4)")
    .replace("batch_size=batch_size", "batch_size=4")
    .replace(STEP, "        with accelerator.accumulate(model):\n" + textwrap.indent(STEP, "    "))
)


@pytest.mark.parametrize(
    ("script", "library"),
    [
        pytest.param(TORCHRUN, "torch", id="torchrun"),
        pytest.param(ACCELERATE, "accelerate", id="accelerate", marks=pytest.mark.slow),
        pytest.param(FABRIC, "lightning", id="fabric", marks=pytest.mark.slow),
        pytest.param(
            SHUFFLED.replace("    for source", "    loader.set_epoch(epoch)\n    for source"), "accelerate",
            id="accelerate-split", marks=pytest.mark.slow,
        ),
        pytest.param(
            WHOLE_BATCHES.replace("OPTION", "dispatch_batches=True"), "accelerate", id="accelerate-dispatch",
            marks=pytest.mark.slow,
        ),
        pytest.param(ACCUMULATES, "accelerate", id="accelerate-accumulation", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_script_is_elastic_as_it_is(tmp_path, script, library):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"no {library}")
    outcome = _elastic.tune(tmp_path, script, preload=("syne_tune", "torch", "torch._dynamo", library))
    assert len(outcome.failures()) == 1
    disturbed, undisturbed = (outcome.values(trial, "loss") for trial in range(2))
    assert disturbed == pytest.approx(undisturbed, abs=1e-3)
    assert any(outcome.best.rglob("*"))
