"""Hugging Face's Trainer under a tuner: real processes, small models with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from syne_hypersched.checkpoint_folder import CheckpointFolder
from tests.integrations import _elastic

pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.usefixtures("no_process_left")

PRELOAD = ("syne_tune", "torch", "transformers.trainer", "accelerate", "syne_hypersched.integrations.huggingface")

#: A language model on a synthetic text, and what kills the process once in the middle of a save.
SCRIPT = """
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments
from syne_hypersched.integrations.huggingface import elastic_trainer

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
    if self.state.global_step == 16 and once("died"):
        die_writing(os.path.join(folder, "optimizer.pt"))
    write(self, folder)

class Wait(TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        wait_for_sigterm(state.global_step // 4, lambda: elastic.callback_handler.callbacks[-1]._sigterm.has_come)

Trainer._save_optimizer_and_scheduler = write_and_die
trainer.add_callback(Wait)
elastic = elastic_trainer(trainer)
elastic.train()
"""


def run(folder, option=""):
    outcome = _elastic.tune(
        folder, SCRIPT, metric="eval_loss", preload=PRELOAD,
        config={"option": option},
    )  # fmt: skip
    assert len(outcome.failures()) == 1
    disturbed, undisturbed = (outcome.values(trial, "eval_loss") for trial in range(2))
    assert disturbed == pytest.approx(undisturbed, abs=1e-3)
    assert set(outcome.rows.batch_size) == {8}
    newest = CheckpointFolder(outcome.best).newest()
    assert newest is not None
    report = json.loads((Path(newest) / "elastic.json").read_text())["report"]
    assert report["eval_loss"] == min(outcome.rows.eval_loss)
    step = 4 * report["epoch"]
    assert json.loads((Path(newest) / f"checkpoint-{step}" / "trainer_state.json").read_text())["global_step"] == step
    return outcome


def test_a_trainer_is_resized_paused_and_killed_in_a_save(tmp_path):
    run(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["lora", "accumulation"])
def test_adapters_and_accumulation(tmp_path, option):
    run(tmp_path, option)
