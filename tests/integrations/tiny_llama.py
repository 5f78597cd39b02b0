"""A language model of a few weights and its data, as text for scripts that run as processes of their own."""

from __future__ import annotations

CONFIG = """
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
    max_position_embeddings=16,
)
"""
#: Counting from a random number; 32 texts are for the training, and 8 for the evaluation.
DATA = """
texts = (torch.randint(0, 32, (40, 1)) + torch.arange(12)) % 32
data = [{"input_ids": text, "labels": text} for text in texts]
"""
