"""Hugging Face's Trainer under a tuner: real processes, small models with random weights."""

from __future__ import annotations

import json

import pytest

from tests.integrations import _elastic

pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.usefixtures("no_process_left")

PRELOAD = ("syne_tune", "torch", "transformers.trainer", "accelerate", "syne_hypersched.integrations.huggingface")

#: A language model on a synthetic text, and what kills the process once in the middle of a save.
SCRIPT = """
import argparse, os, signal
from pathlib import Path
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
from syne_hypersched.integrations.huggingface import elastic_trainer

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--st_checkpoint_dir")
parser.add_argument("--kill_at", type=int, default=-1)
parser.add_argument("--option", default="")
parser.add_argument("--which", type=int)
args = parser.parse_args()

torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
    max_position_embeddings=16,
)
model = LlamaForCausalLM(config)
if args.option == "lora":
    from peft import LoraConfig, get_peft_model
    model = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
generator = torch.Generator().manual_seed(1)
starts = torch.randint(0, 32, (40, 1), generator=generator)
texts = (starts + 3 * torch.arange(12)) % 32
data = [{"input_ids": text, "labels": text} for text in texts]
accumulates = 4 if args.option == "accumulation" else 1
trainer = Trainer(
    model,
    TrainingArguments(
        args.st_checkpoint_dir, num_train_epochs=args.epochs, eval_strategy="epoch", learning_rate=0.01,
        per_device_train_batch_size=8 // accumulates, gradient_accumulation_steps=accumulates, disable_tqdm=True,
        dataloader_pin_memory=False,
    ),
    train_dataset=data[:32],
    eval_dataset=data[32:],
)
write = Trainer._save_optimizer_and_scheduler

def write_and_die(self, folder):
    died = Path(args.st_checkpoint_dir).parent / "died"
    if self.state.global_step == args.kill_at and os.environ["RANK"] == "0" and args.which == 0 and not died.exists():
        died.touch()
        Path(folder, "optimizer.pt").write_bytes(b"torn")
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, folder)

Trainer._save_optimizer_and_scheduler = write_and_die
elastic_trainer(trainer).train()
"""


def run(folder, option=""):
    outcome = _elastic.tune(
        folder, SCRIPT, metric="eval_loss", preload=PRELOAD,
        config={"kill_at": 20, "option": option, "epochs": _elastic.MAX_T},
    )  # fmt: skip
    assert len(outcome.failures()) == 1
    disturbed, undisturbed = (outcome.values(trial, "eval_loss") for trial in range(2))
    assert disturbed == pytest.approx(undisturbed, abs=1e-3)
    assert set(outcome.rows.batch_size) == {8}
    (checkpoint,) = outcome.best.glob("checkpoint-*")
    mark = json.loads((checkpoint / "elastic.json").read_text())
    assert mark["report"]["eval_loss"] == min(outcome.rows.eval_loss)
    assert json.loads((checkpoint / "trainer_state.json").read_text())["global_step"] == 4 * mark["report"]["epoch"]
    return outcome


def test_a_trainer_is_resized_paused_and_killed_in_a_save(tmp_path):
    run(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["lora", "accumulation"])
def test_adapters_and_accumulation(tmp_path, option):
    run(tmp_path, option)
