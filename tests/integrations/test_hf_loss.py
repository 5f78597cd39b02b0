"""The loss of a Hugging Face trainer is the same on any number of devices."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from syne_hypersched.integrations._hf_loss import divides, is_share, keep_loss  # noqa: E402
from syne_hypersched.integrations._ranks import Ranks  # noqa: E402


@pytest.mark.parametrize(
    ("once", "twice", "found"),
    [(2.0, 1.0, True), (2.0, 1.1, True), (2.0, 2.0, False), (0.0, 0.0, None), (math.nan, 1.0, None)],
)
def test_whether_a_loss_is_divided_shows(once, twice, found):
    assert divides(once, twice) is found


@pytest.mark.parametrize(
    ("told", "mean", "num_devices", "found"),
    [(0.5, 1.0, 2, True), (1.0, 1.0, 2, False), (0.26, 1.0, 4, True), (1.0, 1.0, 1, False), (0.0, 0.0, 2, False),
     (math.nan, 1.0, 2, False), (0.8, 1.0, 2, False)],
)  # fmt: skip
def test_whether_a_loss_is_the_share_of_one_device_shows(told, mean, num_devices, found):
    assert is_share(told, mean, num_devices) is found


class OneTrainer:
    """As much of a trainer as decides on the scale of a loss."""

    def __init__(self, uses_number, **args):
        found = {"gradient_accumulation_steps": 2, "world_size": 1, "n_gpu": 1, **args}
        self.args = SimpleNamespace(average_tokens_across_devices=True, **found)
        self.model_accepts_loss_kwargs, self.loss_is_scaled_for_ga = True, None
        self.uses_number, self.seen, self.averages = uses_number, [], []

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        self.seen.append(model.training)
        outputs = model(inputs.pop("x"))
        return outputs.sum() / num_items_in_batch if self.uses_number else outputs.mean()

    def _get_num_items_in_batch(self, batches, device):
        assert self.args.average_tokens_across_devices is False
        return sum(len(batch["x"]) for batch in batches)

    def prediction_step(self, model):
        self.averages.append(self.args.average_tokens_across_devices)


@pytest.mark.parametrize("uses_number", [True, False])
def test_a_loss_that_ignores_the_number_of_items_becomes_a_mean(uses_number, caplog):
    trainer, model = OneTrainer(uses_number), torch.nn.Dropout(0.5)
    keep_loss(trainer, Ranks())
    torch.manual_seed(3)
    losses = [trainer.compute_loss(model, {"x": torch.ones(8)}, num_items_in_batch=8) for _ in range(2)]
    torch.manual_seed(3)
    assert losses == [model(torch.ones(8)).mean() for _ in range(2)]  # no random number was used up
    assert trainer.seen == [False, False, True, True]  # it looks once
    assert trainer.model_accepts_loss_kwargs is uses_number
    assert trainer.loss_is_scaled_for_ga is (None if uses_number else False)
    assert trainer.args.average_tokens_across_devices is uses_number
    assert ("its gradients would be 2 times too large" in caplog.text) is not uses_number


class SwappedTrainer(OneTrainer):
    """The order of arguments in Hugging Face's documents on a loss of one's own."""

    def compute_loss(self, model, inputs, num_items_in_batch=None, return_outputs=False):
        outputs = model(inputs["x"])
        loss = outputs.mean() if num_items_in_batch is None else outputs.sum() / num_items_in_batch
        return (loss * self.scale, outputs) if return_outputs else loss * self.scale


@pytest.mark.parametrize("is_scaled", [True, False])
def test_the_share_of_a_device_is_multiplied_by_the_devices(is_scaled, caplog):
    trainer, model = SwappedTrainer(True, world_size=2, device="cpu"), torch.nn.Identity()
    trainer.scale = 1
    if is_scaled:
        own = trainer.compute_loss
        trainer.compute_loss = lambda *inputs, num_items_in_batch=None: (
            own(*inputs, num_items_in_batch=num_items_in_batch) * (1 if num_items_in_batch is None else 2)
        )
    keep_loss(trainer, Ranks())
    assert trainer.compute_loss(model, {"x": torch.ones(4)}, num_items_in_batch=8) == 1
    assert ("the share of one of them" in caplog.text) is not is_scaled
    if not is_scaled:
        loss, _ = trainer.compute_loss(model.eval(), {"x": torch.ones(4)}, return_outputs=True)
        assert loss == 1


def test_it_does_not_look_where_nothing_could_differ_or_in_an_evaluation():
    trainer, model = OneTrainer(False, gradient_accumulation_steps=1), torch.nn.Dropout(0.5)
    keep_loss(trainer, Ranks())
    trainer.compute_loss(model, {"x": torch.ones(8)}, num_items_in_batch=8)
    trainer.args.world_size = 2
    trainer.compute_loss(model.eval(), {"x": torch.ones(8)}, num_items_in_batch=8)
    assert trainer.seen == [True, False]


def test_an_evaluation_takes_the_mean_of_each_device():
    trainer = OneTrainer(True)
    keep_loss(trainer, Ranks())
    trainer.prediction_step(None)
    assert trainer.averages == [False]
    assert trainer.args.average_tokens_across_devices


#: A classifier, which ignores the number of items, or a language model, which divides by it and has gaps in its labels.
SCRIPT = """
import sys, torch
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM
from transformers import Trainer, TrainingArguments
from syne_hypersched.integrations.huggingface import elastic_trainer

folder, kind, at_once = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.manual_seed(0)
sizes = dict(vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
             max_position_embeddings=16)
texts = torch.randint(0, 32, (48, 8))
if kind == "classifier":
    model = BertForSequenceClassification(BertConfig(**sizes, hidden_dropout_prob=0, attention_probs_dropout_prob=0))
    data = [{"input_ids": text, "labels": int(text[0] > 15)} for text in texts]
else:
    model = LlamaForCausalLM(LlamaConfig(**sizes))
    labels = [torch.where(torch.arange(8) < number % 7, -100, text) for number, text in enumerate(texts)]
    data = [{"input_ids": text, "labels": label} for text, label in zip(texts, labels)]
args = TrainingArguments(
    folder, num_train_epochs=2, eval_strategy="epoch", learning_rate=0.5, optim="sgd", max_grad_norm=0.0,
    lr_scheduler_type="constant", per_device_train_batch_size=at_once, gradient_accumulation_steps=8 // at_once,
    per_device_eval_batch_size=8, disable_tqdm=True, use_cpu=True, dataloader_pin_memory=False, report_to="none",
)

class OwnTrainer(Trainer):
    def compute_loss(self, model, inputs, num_items_in_batch=None, return_outputs=False):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        reduction = "mean" if num_items_in_batch is None else "sum"
        loss = torch.nn.functional.cross_entropy(outputs.logits, labels, reduction=reduction)
        if num_items_in_batch is not None:
            loss = loss / num_items_in_batch
        return (loss, outputs) if return_outputs else loss

kind_of_trainer = OwnTrainer if len(sys.argv) > 4 else Trainer
trainer = kind_of_trainer(model, args, train_dataset=data[:32], eval_dataset=data[32:])
elastic_trainer(trainer, reporter=lambda **report: print("loss", report["eval_loss"], flush=True)).train()
"""


def losses(folder, kind, at_once, num_ranks, *options):
    """The reported losses of a launch with so many processes."""
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ranks = [
        subprocess.Popen(
            [sys.executable, folder / "train.py", folder / "checkpoints", kind, str(at_once), *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(num_ranks),
                 "LOCAL_WORLD_SIZE": str(num_ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
                 "ACCELERATE_USE_CPU": "true"},
        )
        for rank in range(num_ranks)
    ]  # fmt: skip
    outputs = [rank.communicate(timeout=280) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0] * num_ranks, outputs
    return [float(line.split()[1]) for line in outputs[0][0].splitlines() if line.startswith("loss ")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "others", "options"),
    [("classifier", [(8, 2), (2, 1)], []), ("language", [(2, 2)], []), ("classifier", [(2, 2)], ["own loss"])],
)
def test_devices_and_accumulation_change_no_loss(tmp_path, kind, others, options):
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    expected = losses(tmp_path / "one", kind, 8, 1, *options)
    assert len(expected) == 2
    for at_once, num_ranks in others:
        found = losses(tmp_path / f"{num_ranks}-{at_once}", kind, at_once, num_ranks, *options)
        assert found == pytest.approx(expected, abs=1e-4)
