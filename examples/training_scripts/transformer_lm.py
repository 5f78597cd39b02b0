"""A small transformer that learns to write text, character by character, on one device or several, in PyTorch.

The script runs alone (``python transformer_lm.py --epochs 3``), as a trial of Syne Tune, and on several devices. Then
it is started once per device, with the environment of ``torch.distributed``. It may be ended at any step, and continue
on any number of devices, with the same losses as an undisturbed run. With ``--shard`` no device holds the whole model:
parameters, gradients and the state of AdamW are sharded (FSDP), and sharded again when the number of devices has
changed.

The model learns the text of ``--text FILE``. The default is Python's language reference, which is part of the standard
library for ``help()``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import TensorDataset

from syne_hypersched.training import BatchDropout, ElasticRun

VAL_SHARE = 0.1
VAL_BATCH_SIZE = 128
FINAL_LR_FACTOR = 0.1
INITIAL_STD = 0.02


class Block(nn.Module):
    """Causal self-attention and a feed-forward network, each with pre-normalisation and a residual connection."""

    def __init__(self, width: int, num_heads: int, dropout: float):
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width, bias=False)
        self.attention_output = nn.Linear(width, width, bias=False)
        self.attention_dropout = BatchDropout(dropout)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward_hidden = nn.Linear(width, 4 * width)
        self.feed_forward_output = nn.Linear(4 * width, width)
        self.feed_forward_dropout = BatchDropout(dropout)

    def attend(self, hidden: Tensor) -> Tensor:
        """Causal self-attention of each position to itself and earlier positions."""
        # (3, samples, heads, positions, width of a head)
        split = self.queries_keys_values(hidden).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys, values = split.unbind()
        mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        return self.attention_output(mixed.transpose(1, 2).flatten(2))

    def feed_forward(self, hidden: Tensor) -> Tensor:
        """The feed-forward network of each position."""
        return self.feed_forward_output(functional.gelu(self.feed_forward_hidden(hidden)))

    def forward(self, hidden: Tensor) -> Tensor:
        """Maps (samples, positions, width) to the same shape."""
        hidden = hidden + self.attention_dropout(self.attend(self.attention_norm(hidden)))
        return hidden + self.feed_forward_dropout(self.feed_forward(self.feed_forward_norm(hidden)))


class LanguageModel(nn.Module):
    """Decoder-only transformer; the embedding of the characters is also the output layer's weight."""

    def __init__(self, num_characters: int, context: int, width: int, num_blocks: int, num_heads: int, dropout: float):
        super().__init__()
        self.characters = nn.Embedding(num_characters, width)
        self.positions = nn.Embedding(context, width)
        self.dropout = BatchDropout(dropout)
        self.blocks = nn.ModuleList(Block(width, num_heads, dropout) for _ in range(num_blocks))
        self.norm = nn.LayerNorm(width)
        # The blocks' contributions to the residual stream have a variance that does not depend on their number (GPT-2).
        output_std = INITIAL_STD / math.sqrt(2 * num_blocks)
        for name, weight in self.named_parameters():
            if weight.ndim > 1:
                nn.init.normal_(weight, std=output_std if name.endswith("_output.weight") else INITIAL_STD)

    def forward(self, characters: Tensor) -> Tensor:
        """Logits (samples, positions, characters) of the next character at each position of (samples, positions)."""
        positions = torch.arange(characters.shape[1], device=characters.device)
        hidden = self.dropout(self.characters(characters) + self.positions(positions))
        for block in self.blocks:
            hidden = block(hidden)
        return functional.linear(self.norm(hidden), self.characters.weight)


def read_text(path: Path | None) -> str:
    """The text of a file, or Python's language reference."""
    if path is not None:
        return path.read_text(encoding="utf-8")
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def make_datasets(text: str, context: int) -> tuple[TensorDataset, TensorDataset, int]:
    """Windows of the text for training, those of its last tenth for validation, and the number of its characters.

    A sample is ``context`` characters and, for each of them, the next one. Windows do not overlap.

    Raises
    ------
    ValueError
        The text is too short for a window of each kind.
    """
    characters = {character: index for index, character in enumerate(sorted(set(text)))}
    indices = torch.tensor([characters[character] for character in text])
    num_windows = (len(indices) - 1) // context
    num_val = math.ceil(VAL_SHARE * num_windows)
    if num_windows - num_val < 1:
        raise ValueError(
            f"the text must have more than {2 * context} characters, which is two windows of context={context}, "
            f"but got {len(text)}"
        )
    inputs, targets = (indices[start : start + num_windows * context].view(num_windows, context) for start in (0, 1))
    train, val = (
        TensorDataset(inputs[windows], targets[windows]) for windows in (slice(0, -num_val), slice(-num_val, None))
    )
    return train, val, len(characters)


def warmup_then_cosine(num_warmup_steps: int, num_steps: int) -> Callable[[int], float]:
    """Factor of the learning rate in each step: it rises linearly to 1, then falls as a cosine.

    The factor of the first step is not 0, and the factor of the last step is ``FINAL_LR_FACTOR``.
    """

    def factor(step: int) -> float:
        if step < num_warmup_steps:
            return (step + 1) / (num_warmup_steps + 1)
        done = min(1.0, (step - num_warmup_steps) / max(1, num_steps - 1 - num_warmup_steps))
        return FINAL_LR_FACTOR + (1 - FINAL_LR_FACTOR) * (1 + math.cos(math.pi * done)) / 2

    return factor


def weight_decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser with weight decay for matrices, but not for biases and normalisation gains."""
    parameters = list(model.parameters())
    return [
        {"params": [weight for weight in parameters if weight.ndim > 1], "weight_decay": weight_decay},
        {"params": [weight for weight in parameters if weight.ndim <= 1], "weight_decay": 0.0},
    ]


def next_character_loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


def train(args: argparse.Namespace) -> None:
    train_set, val_set, num_characters = make_datasets(read_text(args.text)[: args.num_characters], args.context)
    num_steps = args.epochs * math.ceil(len(train_set) / args.batch_size)
    with ElasticRun(
        args.st_checkpoint_dir,
        seed=args.seed,
        checkpoint_every_s=args.checkpoint_every_s,
    ) as run:
        model = run.wrap(
            LanguageModel(num_characters, args.context, args.width, args.blocks, args.heads, args.dropout),
            shard_units=(Block,) if args.shard else None,
        )
        optimizer = run.track(
            optimizer=torch.optim.AdamW(
                weight_decay_groups(model, args.weight_decay), lr=args.learning_rate, betas=(0.9, 0.95)
            )
        )
        num_warmup_steps = round(args.warmup_share * num_steps)
        schedule = run.track(schedule=LambdaLR(optimizer, warmup_then_cosine(num_warmup_steps, num_steps)))
        batches = run.loader(train_set, args.batch_size)
        val_batches = run.loader(val_set, VAL_BATCH_SIZE, train=False)
        for _ in run.epochs(args.epochs):
            for inputs, targets in batches:
                loss = next_character_loss(model, inputs, targets)
                if run.step(loss, max_norm=args.max_norm):
                    schedule.step()
                run.add(train_loss=loss)
            with run.validating():
                for inputs, targets in val_batches:
                    run.add(val_loss=next_character_loss(model, inputs, targets))
            val_loss = run.means()["val_loss"]
            # A model that has diverged has an infinite perplexity.
            run.report(perplexity=math.exp(val_loss) if val_loss < 700 else math.inf)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--text", type=Path, help="file to learn, in UTF-8 (default: Python's language reference)")
    parser.add_argument(
        "--num_characters", type=int, help="number of characters to use, from the start of the text (default: all)"
    )
    parser.add_argument(
        "--context", type=int, default=64, help="number of previous characters that a prediction can use"
    )
    parser.add_argument("--width", type=int, default=96, help="width of the model, a multiple of --heads")
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--learning_rate", type=float, default=3e-3, help="largest learning rate, after the warm-up")
    parser.add_argument("--warmup_share", type=float, default=0.05, help="share of all steps for the warm-up")
    parser.add_argument("--weight_decay", type=float, default=0.1)
    parser.add_argument("--max_norm", type=float, default=1.0, help="norm to which gradients are clipped")
    parser.add_argument("--batch_size", type=int, default=64, help="windows per step, over all devices together")
    # The option may have a value, because a tuner passes values.
    parser.add_argument("--shard", type=int, nargs="?", const=1, default=0, help="shard the model over the devices")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--st_checkpoint_dir", help="where checkpoints are written to and resumed from")
    parser.add_argument(
        "--checkpoint_every_s", type=float, help="seconds after which to checkpoint inside an epoch too"
    )
    args = parser.parse_args()
    if args.width % args.heads:
        parser.error(f"--width must be a multiple of --heads, but got {args.width} and {args.heads}")
    if not 0 <= args.warmup_share <= 1:
        parser.error(f"--warmup_share must be from 0 to 1, but got {args.warmup_share}")
    return args


if __name__ == "__main__":
    train(parse_args())
