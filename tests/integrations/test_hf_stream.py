"""A Hugging Face trainer goes on in training data without a length."""

from __future__ import annotations

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


#: Launches, each a fork of this process: streams three epochs of four batches, and is left in the third if asked to.
SCRIPT = """
import os, signal, sys, traceback
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments, set_seed
from syne_hypersched.integrations.huggingface import ElasticCallback, elastic_trainer

class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        texts = torch.randint(0, 32, (32, 8), generator=torch.Generator().manual_seed(0))
        return iter([{"input_ids": text, "labels": text} for text in texts])

def launch(folder, leaves, way):
    class Leave(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            print("step", state.global_step, flush=True)
            if leaves == "leave" and state.global_step == 9:
                os.kill(os.getpid(), signal.SIGTERM)

    set_seed(0)
    strategy = "epoch" if way == "epoch" else "steps"
    args = TrainingArguments(
        folder, max_steps=12, eval_strategy=strategy, eval_steps=3, save_strategy=strategy, save_steps=3,
        learning_rate=0.01, per_device_train_batch_size=8, disable_tqdm=True, use_cpu=True,
        dataloader_pin_memory=False, report_to="none",
    )
    report = lambda **report: print("loss", report.get("eval"), report["eval_loss"], flush=True)
    options = dict(resource="epoch" if way == "epoch" else "eval", reporter=report)
    sizes = dict(vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    given = dict(train_dataset=Stream(), eval_dataset=list(Stream()))
    model = LlamaForCausalLM(LlamaConfig(**sizes))
    if way == "callback":
        elastic = ElasticCallback(folder, **options)
        trainer = Trainer(model, args, **given, callbacks=[Leave(), elastic])
        trainer.train(resume_from_checkpoint=elastic.checkpoint)
    else:
        elastic_trainer(Trainer(model, args, **given, callbacks=[Leave()]), **options).train()

torch.set_num_threads(1)
for asked in sys.argv[1:]:
    print("launch", asked, flush=True)
    child = os.fork()
    if child == 0:
        code = 0
        try:
            launch(*asked.split(","))
        except SystemExit as error:
            code = error.code
        except ValueError as error:
            print("refused", error, flush=True)
            code = 1
        except BaseException:
            traceback.print_exc()
            code = 2
        os._exit(code)
    print("exit", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def launches(python, folder, *asked):
    """What some launches print, each as a list of lines."""
    (folder / "train.py").write_text(SCRIPT)
    done = python.run([folder / "train.py", *asked], folder, timeout_s=None)
    assert done.returncode == 0, done.stderr
    outputs = [part.strip().splitlines()[1:] for part in done.stdout.split("launch ")[1:]]
    assert len(outputs) == len(asked)
    return outputs


def losses(*outputs):
    lines = [line.split() for output in outputs for line in output if line.startswith("loss ")]
    return {int(level): float(loss) for _, level, loss in lines}


@pytest.mark.slow
def test_a_stream_goes_on_in_its_third_epoch_and_what_cannot_be_counted_is_refused(tmp_path, forked_transformers):
    whole, first, second, third, epochs, bare, again = launches(
        forked_transformers, tmp_path, "whole,,trainer", "left,leave,trainer", "left,,trainer", "left,,trainer",
        "epochs,,epoch", "bare,leave,callback", "bare,,callback",
    )  # fmt: skip
    expected, found = losses(whole), losses(first, second)
    assert list(expected) == list(found) == [1, 2, 3, 4]
    assert list(found.values()) == pytest.approx(list(expected.values()), abs=1e-4)
    assert (first[-1], second[-1]) == ("exit 75", "exit 0")
    assert [line for line in second if line.startswith("step")] == ["step 10", "step 11"]
    assert third[-1] == "exit 0"
    assert not any(line.startswith("step") for line in third)
    assert 'refused resource must be "eval" for training data without a length' in "\n".join(epochs)
    assert bare[-1] == "exit 75"
    assert "elastic_trainer must be used" in "\n".join(again)
