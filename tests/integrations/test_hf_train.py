"""``train()`` of an elastic trainer: with a trainer that only counts, and with Hugging Face's own in one process."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from syne_hypersched.integrations._hf_train import move_logs, move_to_end, train_once
from tests.integrations.tiny_llama import CONFIG, DATA


class Trainer:
    def __init__(self):
        self.control = SimpleNamespace(should_training_stop=False)
        self.begins, self.num_epochs = [], 0

    def train(self, resume_from_checkpoint=None, trial=None, **options):
        self.begins.append((resume_from_checkpoint, trial, options))
        for _ in range(3):
            self._run_epoch()
            if self.control.should_training_stop:
                break

    def _run_epoch(self):
        self.num_epochs += 1


def one(checkpoint, is_finished=False):
    trainer = Trainer()
    train_once(trainer, SimpleNamespace(checkpoint=checkpoint, is_finished=is_finished))
    return trainer


@pytest.mark.parametrize(
    ("own", "given", "begins_with"),
    [
        (None, None, None), (None, True, None), (None, "pretrained", "pretrained"),
        ("own", None, "own"), ("own", True, "own"), ("own", False, "own"), ("own", "pretrained", "own"),
    ],
)  # fmt: skip
def test_a_run_goes_on_from_its_own_checkpoint(own, given, begins_with):
    trainer = one(own)
    trainer.train(given, "trial", more=3)
    assert trainer.begins == [(begins_with, "trial", {"more": 3})]
    assert trainer.num_epochs == 3


def test_a_second_run_is_refused():
    trainer = one(None)
    trainer.train()
    with pytest.raises(ValueError, match=r"train must be called once.* but was called twice; for a second phase"):
        trainer.train()


def test_a_finished_run_trains_nothing():
    trainer = one("own", is_finished=True)
    trainer.train()
    assert (trainer.num_epochs, len(trainer.begins)) == (0, 1)


def test_a_callback_comes_after_what_was_added_later():
    handler = SimpleNamespace(callbacks=["own", "restored", "other"])
    before = handler.callbacks
    move_to_end(handler, "own")
    assert handler.callbacks == ["restored", "other", "own"]
    assert before == ["own", "restored", "other"]  # the trainer may be calling them


class TensorBoardCallback:
    def __init__(self, logging_dir=None):
        self.logging_dir = logging_dir


def test_logs_are_written_beside_the_checkpoints(tmp_path):
    callbacks = [TensorBoardCallback(), TensorBoardCallback("mine"), SimpleNamespace(logging_dir=None)]
    args = SimpleNamespace(output_dir=str(tmp_path / "checkpoints"))
    move_logs(SimpleNamespace(args=args, callback_handler=SimpleNamespace(callbacks=callbacks)))
    assert [each.logging_dir for each in callbacks] == [str(tmp_path / "runs"), "mine", None]


#: Runs in one process, and leaves at a moment of the test's choice.
ALONE = (
    """
import os, signal, sys
import torch
from transformers import EarlyStoppingCallback, LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback
from transformers import TrainingArguments
from transformers.trainer_utils import get_last_checkpoint
from syne_hypersched.integrations.huggingface import ElasticCallback, elastic_trainer

folder, kind, moment = sys.argv[1:4]

def reporter(**report):
    print("report", report["epoch"], round(report["eval_loss"], 4), flush=True)

class Leave(TrainerCallback):
    def at(self, where, state):
        if moment == f"{where}-{state.global_step}":
            os.kill(os.getpid(), signal.SIGTERM)
    def on_prediction_step(self, args, state, control, **kwargs):
        self.at("evaluation", state)
    def on_step_begin(self, args, state, control, **kwargs):
        self.at("step", state)
    def on_save(self, args, state, control, **kwargs):
        self.at("save", state)

class Saves(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        control.should_save = control.should_save or state.global_step % 3 == 0

class Releases(TrainerCallback):  # its embeddings, in the second epoch
    def on_train_begin(self, args, state, control, model, **kwargs):
        model.get_input_embeddings().requires_grad_(False)
    def on_epoch_begin(self, args, state, control, model, **kwargs):
        if state.global_step == 4:
            model.get_input_embeddings().requires_grad_(True)

class Draws(Trainer):
    def _get_train_sampler(self, *data):
        generator = torch.Generator().manual_seed(3)
        return torch.utils.data.WeightedRandomSampler([1.0] * 28 + [9.0] * 4, 32, generator=generator)

"""
    + CONFIG
    + DATA
    + """
stops = {"metric_for_best_model": "eval_loss", "greater_is_better": True, "eval_on_start": True}
args = TrainingArguments(
    folder, num_train_epochs=4, eval_strategy="epoch", save_strategy="epoch", disable_tqdm=True, use_cpu=True,
    dataloader_pin_memory=False, learning_rate=0.01, eval_delay=2 if kind == "delay" else 0,
    **(stops if kind == "stops" else {}),
)
patience = EarlyStoppingCallback(2)
trainer = (Draws if kind == "draws" else Trainer)(
    LlamaForCausalLM(config), args, train_dataset=data[:32], eval_dataset=data[32:],
    callbacks=[Leave(), *([patience] if kind == "stops" else []), *([Releases()] if kind == "releases" else [])],
)
if kind == "forgotten":
    trainer.add_callback(ElasticCallback(folder, reporter=reporter))
    trainer.train()
else:
    elastic_trainer(trainer, reporter=reporter)
    if kind == "saves":
        trainer.add_callback(Saves())
    last = get_last_checkpoint(folder) if os.path.isdir(folder) else None
    trainer.train(resume_from_checkpoint=last if kind == "last" else None)
print("end", trainer.state.global_step, *(float(each.detach().double().sum()) for each in trainer.model.parameters()))
print("folder", *sorted(name for name in os.listdir(folder) if not name.startswith("checkpoint-0000")))
"""
)


def train_alone(python, folder, kind, *moments):
    """Reports of launches after each other, and what is there at the end; each launch but the last one leaves."""
    folder.mkdir()
    script = folder / "alone.py"
    script.write_text(ALONE)
    reports, lines = [], []
    for moment in (*moments, "never"):
        done = python.run([script, folder / "checkpoints", kind, moment], folder, timeout_s=None)
        assert done.returncode == (0 if moment == "never" else 75), done.stderr
        lines = [line.split() for line in done.stdout.splitlines()]
        reports += [(int(words[1]), float(words[2])) for words in lines if words[0] == "report"]
    (end,) = [[float(word) for word in words[1:]] for words in lines if words[0] == "end"]
    return reports, end, [words[1:] for words in lines if words[0] == "folder"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "moments", "epochs"),
    [
        # Stopped after epoch 3: the run is left in this save, or in the evaluation that stops it.
        ("stops", ["step-1", "save-12"], [1, 2, 3]),
        ("stops", ["evaluation-12"], [1, 2, 3]),
        ("delay", ["step-3", "save-8"], [2, 3, 4]),
        ("last", ["step-5", "save-8"], [1, 2, 3, 4]),
        ("draws", ["step-6", "save-8"], [1, 2, 3, 4]),
        ("releases", ["step-6", "save-12"], [1, 2, 3, 4]),
        ("saves", ["step-2", "step-7"], [1, 2, 3, 4]),
        ("saves", ["save-12"], [1, 2, 3, 4]),  # a save just before an evaluation
    ],
)
def test_a_run_that_was_left_gives_what_an_undisturbed_one_gives(
    tmp_path, forked_transformers, kind, moments, epochs
):  # fmt: skip
    whole, end, folder = train_alone(forked_transformers, tmp_path / "whole", kind)
    left, end_of_left, folder_of_left = train_alone(forked_transformers, tmp_path / "left", kind, *moments)
    assert [epoch for epoch, _ in left] == [epoch for epoch, _ in whole] == epochs
    assert [loss for _, loss in left] == pytest.approx([loss for _, loss in whole], abs=1e-3)
    assert end_of_left == pytest.approx(end, abs=1e-3)
    assert folder == folder_of_left
    assert kind == "stops" or folder == [[]]  # nothing but checkpoints that are whole


@pytest.mark.slow
def test_a_launch_that_would_begin_again_is_refused(tmp_path, forked_transformers):
    with pytest.raises(AssertionError, match="resume_from_checkpoint of train must be checkpoint of the callback"):
        train_alone(forked_transformers, tmp_path / "run", "forgotten", "step-5")
