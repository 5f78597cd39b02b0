"""The loss of a Hugging Face trainer is the same on any number of devices."""

from __future__ import annotations

import math
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
#: Each launch is as many forks as it has ranks; if one of them fails, the others do not wait for it.
SCRIPT = """
import os, signal, socket, sys, traceback
import torch
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM
from transformers import Trainer, TrainingArguments
from syne_hypersched.integrations.huggingface import elastic_trainer

class OwnTrainer(Trainer):
    def compute_loss(self, model, inputs, num_items_in_batch=None, return_outputs=False):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        reduction = "mean" if num_items_in_batch is None else "sum"
        loss = torch.nn.functional.cross_entropy(outputs.logits, labels, reduction=reduction)
        if num_items_in_batch is not None:
            loss = loss / num_items_in_batch
        return (loss, outputs) if return_outputs else loss

def train(folder, kind, kind_of_trainer, at_once):
    torch.manual_seed(0)
    sizes = dict(vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                 max_position_embeddings=16)
    texts = torch.randint(0, 32, (48, 8))
    if kind == "classifier":
        config = BertConfig(**sizes, hidden_dropout_prob=0, attention_probs_dropout_prob=0)
        model = BertForSequenceClassification(config)
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
    trainer = kind_of_trainer(model, args, train_dataset=data[:32], eval_dataset=data[32:])
    elastic_trainer(trainer, reporter=lambda **report: print("loss", report["eval_loss"], flush=True)).train()

def launch(folder, kind, kind_of_trainer, at_once, num_ranks):
    print("launch", flush=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ranks = set()
    for rank in range(num_ranks):
        pid = os.fork()
        if pid == 0:
            os.environ.update(
                RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(num_ranks), LOCAL_WORLD_SIZE=str(num_ranks),
                MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), ACCELERATE_USE_CPU="true",
            )
            code = 1
            try:
                train(folder, kind, kind_of_trainer, at_once)
                code = 0
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        ranks.add(pid)
    while ranks:
        pid, status = os.wait()
        ranks.discard(pid)
        if status:
            for rank in ranks:
                os.kill(rank, signal.SIGKILL)
            sys.exit(1)

kind, own, *launches = sys.argv[1:]
for number, asked in enumerate(launches):
    launch(f"checkpoints-{number}", kind, OwnTrainer if own else Trainer, *map(int, asked.split(",")))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "own", "others"),
    [("classifier", "", [(8, 2), (2, 1)]), ("language", "", [(2, 2)]), ("classifier", "own loss", [(2, 2)])],
)
def test_devices_and_accumulation_change_no_loss(tmp_path, forked_transformers, kind, own, others):
    (tmp_path / "train.py").write_text(SCRIPT)
    launches = [f"{at_once},{num_ranks}" for at_once, num_ranks in [(8, 1), *others]]
    done = forked_transformers.run([tmp_path / "train.py", kind, own, *launches], tmp_path, timeout_s=None)
    assert done.returncode == 0, done.stderr
    expected, *found = [
        [float(line.split()[1]) for line in part.splitlines() if line.startswith("loss ")]
        for part in done.stdout.split("launch\n")[1:]
    ]
    assert len(expected) == 2
    assert len(found) == len(others)
    for losses in found:
        assert losses == pytest.approx(expected, abs=1e-4)
