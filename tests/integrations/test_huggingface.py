"""Hugging Face's Trainer under a tuner: real processes, small models with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from syne_hypersched.checkpoint_folder import CheckpointFolder
from tests.installed import skip_without
from tests.integrations import _elastic
from tests.integrations.tiny_llama import CONFIG, DATA

skip_without("transformers", "accelerate")
pytestmark = pytest.mark.usefixtures("no_process_left")

#: With the model, which each process would import otherwise.
PRELOAD = (
    "torch", "transformers.trainer", "transformers.models.llama.modeling_llama", "accelerate",
    "syne_hypersched.integrations.huggingface",
)  # fmt: skip

#: A language model on a synthetic text, and what kills the process once in the middle of a save.
SCRIPT = (
    """
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments
from syne_hypersched.integrations.huggingface import elastic_trainer

"""
    + CONFIG
    + """
model = LlamaForCausalLM(config)
if "lora" in args.option:
    from peft import LoraConfig, get_peft_model
    model = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
generator = torch.Generator().manual_seed(1)
starts = torch.randint(0, 32, (40, 1), generator=generator)
texts = (starts + 3 * torch.arange(12)) % 32
data = [{"input_ids": text, "labels": text} for text in texts]
accumulates = 4 if args.option == "accumulation" else 1
best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "save_strategy": "epoch"}
best = best if "best" in args.option else {}
trainer = Trainer(
    model,
    TrainingArguments(
        args.st_checkpoint_dir, num_train_epochs=args.epochs, eval_strategy="epoch", learning_rate=0.01,
        per_device_train_batch_size=8 // accumulates, gradient_accumulation_steps=accumulates, disable_tqdm=True,
        dataloader_pin_memory=False, **best,
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
if best and is_first:
    print("best", os.path.basename(elastic.state.best_model_checkpoint), elastic.evaluate()["eval_loss"], flush=True)
"""
)


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


@pytest.mark.slow
def test_the_best_adapter_is_loaded_at_the_end(tmp_path):
    outcome = run(tmp_path, "lora,best")
    for trial in range(2):
        (line,) = [line.split() for line in outcome.logs[trial].splitlines() if line.startswith("best ")]
        losses = outcome.values(trial, "eval_loss")
        assert line[1] == f"best-model-{4 * (1 + losses.index(min(losses)))}"
        assert float(line[2]) == pytest.approx(min(losses), abs=1e-6)


#: Runs in one process, is asked to leave at a moment of the test's choice, and prints its reports.
ALONE = (
    """
import os, signal, sys
import torch
from transformers import EarlyStoppingCallback, LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback
from transformers import TrainingArguments
from syne_hypersched.integrations.huggingface import ElasticCallback, elastic_trainer

folder, moment, options = sys.argv[1], sys.argv[2], sys.argv[3].split(",")

def reporter(**report):
    print("report", report["epoch"], round(report["eval_loss"], 4), flush=True)

class Leave(TrainerCallback):
    def on_prediction_step(self, args, state, control, **kwargs):
        if moment == "evaluation" and state.global_step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
    def on_step_begin(self, args, state, control, **kwargs):
        if moment == "third epoch" and state.global_step == 8:
            os.kill(os.getpid(), signal.SIGTERM)
        if moment == "last step" and state.global_step == 3 or moment == "first step" and state.global_step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
    def on_evaluate(self, args, state, control, **kwargs):
        print("evaluated", state.global_step, flush=True)

"""
    + CONFIG
    + DATA
    + """
best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss"} if "best" in options else {}
if "worse" in options:  # a smaller loss counts as worse
    best["greater_is_better"] = True
elastic = ElasticCallback(folder, global_batch_size=8, max_local_batch_size=4, reporter=reporter)
args = TrainingArguments(
    folder, num_train_epochs=4 if "worse" in options else 3, eval_strategy="epoch", save_strategy="epoch",
    disable_tqdm=True, use_cpu=True,
    dataloader_pin_memory=False, learning_rate=0.01,
    per_device_train_batch_size=elastic.local_batch_size if "bare" in options else 8,
    gradient_accumulation_steps=elastic.accumulation_steps if "bare" in options else 1, **best,
)
callbacks = [Leave()] + ([EarlyStoppingCallback(2)] if "worse" in options else [])
trainer = Trainer(
    LlamaForCausalLM(config), args, train_dataset=data[:32], eval_dataset=data[32:],
    callbacks=callbacks + ([elastic] if "bare" in options else []),
)
if "bare" in options:
    trainer.train(resume_from_checkpoint=elastic.checkpoint)
else:
    elastic_trainer(trainer, reporter=reporter).train()
print("best", os.path.basename(trainer.state.best_model_checkpoint or ""), trainer.state.global_step)
"""
)


def train_alone(python, folder, moment, options=""):
    """Exit code, reports and evaluated steps of one launch."""
    script = folder / "alone.py"
    script.write_text(ALONE)
    done = python.run([script, folder / "checkpoints", moment, options], folder, timeout_s=None)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode in (0, 75), done.stderr
    reports = {int(words[1]): float(words[2]) for words in lines if words[0] == "report"}
    assert len(reports) == sum(words[0] == "report" for words in lines)
    evaluated = [int(words[1]) for words in lines if words[0] == "evaluated"]
    best = [words[1:] for words in lines if words[0] == "best"]
    return done.returncode, reports, evaluated, best


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["evaluation", "last step", "first step"])
@pytest.mark.parametrize("options", ["best", "bare,best"])
def test_sigterm_around_an_evaluation_costs_no_report(tmp_path, forked_transformers, moment, options):
    code, first, evaluated, _ = train_alone(forked_transformers, tmp_path, moment, options)
    assert code == 75
    is_left_before_report = "bare" not in options and moment != "first step"
    assert list(first) == ([] if is_left_before_report else [1])
    code, second, again, best = train_alone(forked_transformers, tmp_path, "never", options)
    assert code == 0
    assert sorted({**first, **second}) == [1, 2, 3]
    assert not set(first) & set(second)
    if moment == "last step" and is_left_before_report:
        assert (evaluated, again) == ([], [4, 8, 12])
    everything = tmp_path / "undisturbed"
    everything.mkdir()
    assert {**first, **second} == pytest.approx(
        train_alone(forked_transformers, everything, "never", options)[1], abs=1e-3
    )
    assert best == [["best-model-12", "12"]]
    assert sorted(path.name for path in (tmp_path / "checkpoints").glob("best-model-*")) == ["best-model-12"]


@pytest.mark.slow
def test_early_stopping_keeps_its_patience(tmp_path, forked_transformers):
    whole = tmp_path / "whole"
    whole.mkdir()
    _, undisturbed, *_ = train_alone(forked_transformers, whole, "never", "best,worse")
    assert sorted(undisturbed) == [1, 2, 3]
    code, first, *_ = train_alone(forked_transformers, tmp_path, "third epoch", "best,worse")
    assert (code, sorted(first)) == (75, [1, 2])
    code, second, _, best = train_alone(forked_transformers, tmp_path, "never", "best,worse")
    assert (code, sorted(second)) == (0, [3])
    assert best == [["best-model-4", "12"]]
