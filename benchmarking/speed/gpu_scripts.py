"""Scripts that use a GPU. Used by ``gpu_check.py``."""

from __future__ import annotations

LAUNCHED = """
import json, os, sys, time
import torch

def opens_a_gpu(pid):
    try:
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return False
    return any(link.startswith("/dev/nvidia") for link in links)

def parent_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])

first_line_s = time.monotonic()
was_initialized = torch.cuda.is_initialized()
# Up to the tuner, which has NVML open, to see GPUs that are lost.
ancestors, pid = [], parent_of(os.getpid())
while pid not in (0, 1, TUNER):
    ancestors.append(pid)
    pid = parent_of(pid)
gpu_ancestors = [pid for pid in ancestors if opens_a_gpu(pid)]
kept = torch.ones(MEGABYTES * 2**18, device=DEVICE)
if DEVICE == "cuda":
    torch.cuda.synchronize()
new = MARK + ".new"
with open(new, "w") as file:
    json.dump({
        "first_line_s": first_line_s, "was_initialized": was_initialized, "gpu_ancestors": gpu_ancestors,
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"), "total": float(kept.sum()),
    }, file)
os.replace(new, MARK)
while True:
    time.sleep(0.01)
"""


ELASTIC = """
import argparse, os, time
import torch
from torch import nn
from torch.utils.data import TensorDataset
from syne_hypersched.training import ElasticRun

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--compile", type=int)
parser.add_argument("--wait_s", type=float, default=0.0)
parser.add_argument("--st_checkpoint_dir")
options = parser.parse_args()
generator = torch.Generator().manual_seed(0)
inputs = torch.randn(2048, 64, generator=generator)
labels = (inputs @ torch.randn(64, 10, generator=generator)).argmax(dim=1)
with ElasticRun(options.st_checkpoint_dir, seed=0) as run:
    kind = run.device.type
    model = run.wrap(nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    run.track(optimizer=optimizer, scaler=torch.amp.GradScaler(kind, enabled=kind == "cuda"))
    forward = torch.compile(model) if options.compile else model
    batches = run.loader(TensorDataset(inputs, labels), 128)
    for epoch in run.epochs(options.epochs):
        for x, y in batches:
            x, y = x.to(run.device), y.to(run.device)
            with torch.autocast(kind, torch.float16 if kind == "cuda" else torch.bfloat16):
                loss = nn.functional.cross_entropy(forward(x), y)
            run.step(loss)
            run.add(train_loss=loss)
            time.sleep(options.wait_s)
        run.report()
"""


PACKED = """
import json, sys, time
import torch
from torch import nn

device, seconds = sys.argv[1], float(sys.argv[2])
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 10)).to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
x, y = torch.randn(128, 256, device=device), torch.randint(0, 10, (128,), device=device)

def step():
    optimizer.zero_grad(set_to_none=True)
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()

for _ in range(20):
    step()
if device == "cuda":
    torch.cuda.synchronize()
print("ready", flush=True)
sys.stdin.readline()
begin, steps = time.monotonic(), 0
while time.monotonic() - begin < seconds:
    for _ in range(10):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    steps += 10
print(json.dumps(steps / (time.monotonic() - begin)), flush=True)
"""
