"""HyperSched tunes a language model that Hugging Face's Trainer trains; the script needs two additional lines."""

from __future__ import annotations

from syne_tune.config_space import choice, loguniform
from tune_frameworks import tune

MAX_EPOCHS = 27
CONFIG_SPACE = {
    "learning_rate": loguniform(1e-4, 3e-2),
    "n_embd": choice([16, 32, 64]),
    "per_device_train_batch_size": 32,
    "num_train_epochs": MAX_EPOCHS,
}

if __name__ == "__main__":
    tune(
        __doc__,
        "hf_text.py",
        CONFIG_SPACE,
        metric="eval_loss",
        max_t=MAX_EPOCHS,
        # The folder for checkpoints is the output folder of the trainer.
        arguments=["--output_dir", "{st_checkpoint_dir}", "{...}"],
        preload=[
            "syne_tune",
            "torch",
            "_torchvision",
            "accelerate",
            "transformers.trainer",
            "transformers.models.gpt2.modeling_gpt2",
        ],
    )
