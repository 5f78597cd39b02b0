"""A Hugging Face trainer goes on in training data without a length."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from syne_hypersched.integrations._hf_stream import Place, go_on, is_endless


def test_an_epoch_is_noted_with_the_step_at_which_it_began():
    place = Place({})
    place.begin_epoch(0)
    assert place.notes(3) == {"epoch_began": [0, 0]}
    place.end_epoch()
    assert place.notes(5) == {"epoch_began": [1, 5]}
    place.begin_epoch(5)
    assert place.notes(7) == {"epoch_began": [1, 5]}


def test_the_first_epoch_of_a_launch_goes_on():
    place = Place({"epoch_began": [1, 5]})
    place.begin_epoch(7)
    assert (place.epoch, place.first_step) == (1, 5)
    place.end_epoch()
    place.begin_epoch(10)
    assert place.notes(12) == {"epoch_began": [2, 10]}


@pytest.mark.parametrize(
    ("num_epochs", "step", "found"),
    [(sys.maxsize, 7, (1, 4)), (sys.maxsize, 20, (sys.maxsize, 0)), (9, 7, (0, 7))],
)
def test_only_batches_of_the_present_epoch_are_skipped(num_epochs, step, found):
    trainer = SimpleNamespace(
        state=SimpleNamespace(global_step=step), args=SimpleNamespace(gradient_accumulation_steps=2),
        _init_training_state=lambda *given: (0, step),
    )  # fmt: skip
    assert go_on(trainer, Place({"epoch_began": [1, 5]}))
    assert trainer._init_training_state(20, 20, num_epochs, "checkpoint", None) == found
    assert is_endless(num_epochs) is (found != (0, 7))


def test_a_trainer_that_cannot_be_told_is_left_alone():
    assert not go_on(SimpleNamespace(), Place({}))


#: Streams three epochs of four batches, and is left at a step of its third epoch.
SCRIPT = """
import os, signal, sys
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments, set_seed
from syne_hypersched.integrations.huggingface import ElasticCallback, elastic_trainer

folder, leaves, way = sys.argv[1], sys.argv[2], sys.argv[3]
set_seed(0)
texts = torch.randint(0, 32, (32, 8))

class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter([{"input_ids": text, "labels": text} for text in texts])

class Leave(TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        print("step", state.global_step, flush=True)
        if leaves == "leave" and state.global_step == 9:
            os.kill(os.getpid(), signal.SIGTERM)

config = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
args = TrainingArguments(
    folder, max_steps=12, eval_strategy="steps", eval_steps=3, save_strategy="steps", save_steps=3, learning_rate=0.01,
    per_device_train_batch_size=8, disable_tqdm=True, use_cpu=True, dataloader_pin_memory=False, report_to="none",
)
report = lambda **report: print("loss", report.get("eval"), report["eval_loss"], flush=True)
options = dict(resource="epoch" if way == "epoch" else "eval", reporter=report)
model, data = LlamaForCausalLM(config), list(Stream())
if way == "callback":
    elastic = ElasticCallback(folder, **options)
    Trainer(model, args, train_dataset=Stream(), eval_dataset=data, callbacks=[Leave(), elastic]).train(
        resume_from_checkpoint=elastic.checkpoint
    )
else:
    if way == "epoch":
        args.eval_strategy = args.save_strategy = "epoch"
    trainer = Trainer(model, args, train_dataset=Stream(), eval_dataset=data, callbacks=[Leave()])
    elastic_trainer(trainer, **options).train()
"""


def stream(folder, leaves="", way="trainer"):
    (folder / "train.py").write_text(SCRIPT)
    return subprocess.run(
        [sys.executable, folder / "train.py", folder / (way + leaves), leaves, way], capture_output=True, text=True,
        timeout=280,
    )  # fmt: skip


def losses(*outputs):
    lines = [line.split() for output in outputs for line in output.stdout.splitlines() if line.startswith("loss ")]
    return {int(level): float(loss) for _, level, loss in lines}


@pytest.mark.slow
def test_a_stream_goes_on_in_its_third_epoch(tmp_path):
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    expected = losses(stream(tmp_path))
    assert list(expected) == [1, 2, 3, 4]
    first = stream(tmp_path, "leave")
    assert first.returncode == 75, first.stderr
    second = subprocess.run(
        [sys.executable, tmp_path / "train.py", tmp_path / "trainerleave", "", "trainer"],
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert second.returncode == 0, second.stderr
    assert [line for line in second.stdout.splitlines() if line.startswith("step")] == ["step 10", "step 11"]
    found = losses(first, second)
    assert list(found) == list(expected)
    assert list(found.values()) == pytest.approx(list(expected.values()), abs=1e-4)
    third = subprocess.run(
        [sys.executable, tmp_path / "train.py", tmp_path / "trainerleave", "", "trainer"],
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert (third.returncode, "step" in third.stdout) == (0, False)


@pytest.mark.slow
def test_what_cannot_be_counted_is_refused(tmp_path):
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    refused = stream(tmp_path, way="epoch")
    assert 'resource must be "eval" for training data without a length' in refused.stderr
    first = stream(tmp_path, "leave", "callback")
    assert first.returncode == 75, first.stderr
    (tmp_path / "callbackleave").rename(tmp_path / "callback")
    assert "elastic_trainer must be used" in stream(tmp_path, way="callback").stderr
