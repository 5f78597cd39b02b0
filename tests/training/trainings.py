"""A small training in this process."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils.data import TensorDataset  # noqa: E402

from syne_hypersched.training import BatchDropout, ElasticRun  # noqa: E402

NUM_SAMPLES = 100


class Killed(Exception):
    """Replaces the end of the process at this line."""


def make_data():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(NUM_SAMPLES, 4, generator=generator)
    return TensorDataset(features, features.sum(dim=1, keepdim=True), torch.arange(NUM_SAMPLES))


class Training:
    """A small training with all kinds of state, and its records."""

    def __init__(self, folder: Path | None, **options: Any) -> None:
        self.folder = folder
        self.options = {"seed": 3, **options}
        self.reports: list[dict[str, Any]] = []
        self.seen: list[int] = []
        self.random: list[float] = []
        self.rates: list[float] = []
        self.num_report_faults = 0

    def report(self, **metrics: Any) -> None:
        if self.num_report_faults:
            self.num_report_faults -= 1
            raise Killed
        self.reports.append(metrics)

    def launch(self, num_epochs: int = 3, at: tuple[str, int] | None = None, how: str = "term", rounds: int = 0) -> Any:
        """One launch; ``at`` names the place at which it is ended, and the number of passes there."""
        visits = {"train": 0, "validate": 0, "after training": 0}

        def visit(place: str) -> None:
            visits[place] += 1
            if at == (place, visits[place]):
                if how == "term":
                    os.kill(os.getpid(), signal.SIGTERM)
                else:
                    raise Killed

        with ElasticRun(self.folder, reporter=self.report, **self.options) as run:
            self.model = run.wrap(nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), BatchDropout(0.2), nn.Linear(8, 1)))
            optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.01)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
            self.ema = torch.optim.swa_utils.AveragedModel(self.model)
            run.track(optimizer=optimizer, scheduler=scheduler, ema=self.ema, scaler=torch.amp.GradScaler("cpu"))
            batches = run.loader(make_data(), 16)
            val_batches = run.loader(make_data(), 40, train=False)
            for _ in run.rounds(num_epochs, rounds) if rounds else run.epochs(num_epochs):
                for features, target, index in batches:
                    loss = functional.mse_loss(self.model(features), target)
                    assert run.step(loss, max_norm=1.0)
                    self.ema.update_parameters(self.model)
                    run.add(train_loss=loss, mean_index=index.double().mean())
                    self.seen += index.tolist()
                    self.random.append(float(torch.rand(()) + np.random.rand()))
                    visit("train")
                visit("after training")
                scheduler.step()
                with run.validating():
                    assert not self.model.training
                    for features, target, _ in val_batches:
                        run.add(val_loss=functional.mse_loss(self.model(features), target))
                        visit("validate")
                assert self.model.training
                self.rates.append(scheduler.get_last_lr()[0])
                run.report(answer=42)
        return run

    def state(self) -> list[Any]:
        return [tensor.clone() for tensor in [*self.model.state_dict().values(), *self.ema.state_dict().values()]]


def metrics(report: dict[str, Any]) -> dict[str, Any]:
    """A report without measured seconds."""
    return {key: value for key, value in report.items() if key not in ("step_time_s", "throughput")}
