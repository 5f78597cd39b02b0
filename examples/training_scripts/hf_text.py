"""A small GPT-2 with random weights learns to continue sequences, with Hugging Face's Trainer.

This is a usual script for the Trainer. The two lines with ``elastic_trainer`` make it elastic. It also runs alone:
``python hf_text.py --output_dir results --num_train_epochs 3``.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import torch

# If PyTorch is for CPUs and torchvision for CUDA, transformers can be imported only after this import.
with contextlib.suppress(ModuleNotFoundError):
    import _torchvision  # noqa: F401

from transformers import GPT2Config, GPT2LMHeadModel, HfArgumentParser, Trainer, TrainingArguments, set_seed

from syne_hypersched.integrations.huggingface import elastic_trainer


@dataclass
class ModelArguments:
    n_embd: int = field(default=32, metadata={"help": "width of the model, a multiple of 2"})
    num_texts: int = field(default=256, metadata={"help": "sequences to learn from"})


def sequences(num_texts: int, length: int = 24, vocabulary: int = 48) -> list[dict[str, torch.Tensor]]:
    """Sequences with a constant step each, so that two symbols determine the rest."""
    generator = torch.Generator().manual_seed(0)
    starts = torch.randint(vocabulary, (num_texts, 1), generator=generator)
    steps = torch.randint(1, 6, (num_texts, 1), generator=generator)
    texts = (starts + steps * torch.arange(length)) % vocabulary
    return [{"input_ids": text, "labels": text} for text in texts]


def main() -> None:
    model_args, training_args = HfArgumentParser((ModelArguments, TrainingArguments)).parse_args_into_dataclasses()
    training_args.eval_strategy = training_args.save_strategy = "epoch"
    training_args.disable_tqdm = True
    set_seed(training_args.seed)
    config = GPT2Config(
        vocab_size=48, n_positions=32, n_embd=model_args.n_embd, n_layer=2, n_head=2, resid_pdrop=0, embd_pdrop=0,
        attn_pdrop=0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    trainer = Trainer(
        GPT2LMHeadModel(config),
        training_args,
        train_dataset=sequences(model_args.num_texts),
        eval_dataset=sequences(model_args.num_texts + 64)[model_args.num_texts :],
    )
    elastic_trainer(trainer, metrics=("eval_loss",)).train()


if __name__ == "__main__":
    main()
