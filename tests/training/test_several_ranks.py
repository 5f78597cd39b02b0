"""Two processes with slightly different scripts."""

from __future__ import annotations

import json
import os

import pytest

from syne_hypersched.backends.machine.discovery import find_devices
from syne_hypersched.backends.machine.environment import rank_environments
from tests.installed import skip_without

skip_without("torch")

SCRIPT = """
import json, os, sys

environments = json.loads(sys.argv[1])
import torch
from torch import nn
from torch.utils.data import TensorDataset
from syne_hypersched.training import ElasticRun

rank = 1 if os.fork() == 0 else 0  # importing PyTorch once is enough
os.environ.update(environments[rank])

def say(*words):
    # One write: both ranks share the stream, which is not buffered.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

class Net(nn.Linear):
    def loss(self, values):
        return self(values[:, None].float()).mean()

def main():
    with ElasticRun(sys.argv[2], reporter=lambda **report: say(json.dumps(report))) as run:
        model = run.wrap(Net(1, 1))
        run.track(optimizer=torch.optim.SGD(model.parameters(), lr=0.01))
        # Fewer samples than processes in the last step, and in the validation.
        batches = run.loader(TensorDataset(torch.arange(5)), 4, shuffle=False)
        val_batches = run.loader(TensorDataset(torch.arange(1)), 4, train=False)
        for epoch in run.epochs(3):
            for number, (values,) in enumerate(batches):
                # A method that is not the forward pass of the replica, and a half of the model by itself.
                run.step(model.loss(values) if number == 0 else (model.weight * values.float().mean()).sum())
                means = {"mean": values.double().mean(), "squares": values.double().square().mean()}
                for name in sorted(means, reverse=rank == 1):  # each in its own order
                    run.add(**{name: means[name]})
                if rank == 1 and number == 0:
                    run.add(only_here=1.0)
                if epoch == 2 and number == 0:
                    break
            with run.validating():
                for (values,) in val_batches:
                    run.add(val_mean=values.double().mean() + 7)
            if epoch == 2:
                for bad in (None, "x"):
                    try:
                        run.report(loss=object() if rank == 0 else 1.0)
                    except TypeError as error:
                        say(rank, error)
            if epoch == 3 and rank == 0:
                raise LookupError("only here")
            run.report(num_steps=run.num_steps)
            say("weights", epoch, model.weight.item(), model.bias.item())

try:
    main()
except BaseException as error:
    say(rank, type(error).__name__)
    if rank == 0:
        os.wait()  # what the other one says belongs to the output, too
    os._exit(7)
"""


def test_they_agree_on_averages_and_errors_and_none_waits_for_ever(tmp_path, forked_torch, no_process_left):
    devices = find_devices(2, device_type="cpu")
    environments = [env for env, _ in rank_environments(devices, devices.names, True, os.environ)]
    done = forked_torch.run(["-c", SCRIPT, json.dumps(environments), tmp_path], tmp_path)
    lines = done.stdout.splitlines()
    reports = [json.loads(line) for line in lines if line.startswith("{")]
    assert [report["epoch"] for report in reports] == [1, 2], done.stderr
    assert [report["mean"] for report in reports] == pytest.approx([2.0, 1.5])
    assert [report["squares"] for report in reports] == pytest.approx([6.0, 3.5])
    assert [report["val_mean"] for report in reports] == pytest.approx([7.0, 7.0])
    assert [report["only_here"] for report in reports] == [1.0, 1.0]
    assert [report["num_steps"] for report in reports] == [2, 3]
    for rank in (0, 1):
        assert sum(line.startswith(f"{rank} loss must be a number") for line in lines) == 2
    assert "0 LookupError" in lines
    assert any(line.startswith("1 ") and line.endswith("Error") for line in lines), "told that the other is gone"
    weights = [line for line in lines if line.startswith("weights")]
    assert len(weights) == 4
    assert len(set(weights)) == 2, "the devices train one model, whatever part of it a step calls"
