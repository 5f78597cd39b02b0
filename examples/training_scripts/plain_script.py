"""A training script as in Syne Tune's documentation: arguments, Syne Tune's checkpoint helpers, reports, nothing more.

It does not use devices, resizing or signals. A network with one hidden layer, written in NumPy, learns to distinguish
the arms of two spirals.

Such a script may be ended between its checkpoint and its report. Then the next launch continues after this epoch, and
the report of the epoch is missing. This is rare if epochs are long, and no scheduler has a problem with it.
``sklearn_partial_fit.py`` in this folder shows the few lines that prevent it.
"""

import argparse
import os

import numpy as np
from syne_tune import Reporter
from syne_tune.utils import (
    add_checkpointing_to_argparse,
    checkpoint_model_at_rung_level,
    resume_from_checkpointed_model,
)

POINTS_PER_ARM = 200
STEPS_PER_EPOCH = 800


def make_spirals(rng):
    """Points (n, 2) on two spirals, with noise, and the arm (n,) of each point."""
    arms = np.repeat([0, 1], POINTS_PER_ARM)
    radius = np.tile(np.linspace(0.1, 1.0, POINTS_PER_ARM), 2)
    angle = 15.0 * radius + np.pi * arms
    points = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return points + rng.normal(0.0, 0.03, points.shape), arms


def make_network(num_hidden, rng):
    """Weights and biases, and their momenta."""
    network = {
        "weights_1": rng.normal(0.0, 3.0, (2, num_hidden)),
        "biases_1": rng.normal(0.0, 1.0, num_hidden),
        "weights_2": np.zeros(num_hidden),
        "bias_2": np.zeros(()),
    }
    return network | {f"{name}_velocity": np.zeros_like(values) for name, values in network.items()}


def predict(network, points):
    """The hidden units (n, num_hidden), and the probability (n,) of the second arm."""
    hidden = np.tanh(points @ network["weights_1"] + network["biases_1"])
    return hidden, 1.0 / (1.0 + np.exp(-(hidden @ network["weights_2"] + network["bias_2"])))


def train_step(network, points, arms, learning_rate, momentum):
    hidden, probability = predict(network, points)
    error = (probability - arms) / len(arms)
    hidden_error = error[:, None] * network["weights_2"] * (1.0 - hidden**2)
    gradients = {
        "weights_1": points.T @ hidden_error,
        "biases_1": hidden_error.sum(axis=0),
        "weights_2": hidden.T @ error,
        "bias_2": error.sum(),
    }
    for name, gradient in gradients.items():
        velocity = momentum * network[f"{name}_velocity"] - learning_rate * gradient
        network[f"{name}_velocity"] = velocity
        network[name] = network[name] + velocity


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--learning_rate", type=float, required=True)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--num_hidden", type=int, default=32)
    add_checkpointing_to_argparse(parser)
    args, _ = parser.parse_known_args()

    train_points, train_arms = make_spirals(np.random.default_rng(0))
    val_points, val_arms = make_spirals(np.random.default_rng(1))
    network = make_network(args.num_hidden, np.random.default_rng(2))

    def load_model(folder):
        try:
            with np.load(os.path.join(folder, "checkpoint.npz"), allow_pickle=False) as arrays:
                network.update({name: arrays[name] for name in network})
                return int(arrays["epoch"])
        except FileNotFoundError:
            return 0

    def save_model(folder, epoch):
        # A trial may be stopped at any moment. A temporary file is renamed, so the checkpoint is always complete.
        os.makedirs(folder, exist_ok=True)
        aside = os.path.join(folder, "checkpoint.aside.npz")
        np.savez(aside, epoch=epoch, **network)
        os.replace(aside, os.path.join(folder, "checkpoint.npz"))

    config = vars(args)
    report = Reporter()
    for epoch in range(resume_from_checkpointed_model(config, load_model) + 1, args.epochs + 1):
        for _ in range(STEPS_PER_EPOCH):
            train_step(network, train_points, train_arms, args.learning_rate, args.momentum)
        _, probability = predict(network, val_points)
        val_error = np.mean((probability > 0.5) != val_arms)
        val_loss = -np.mean(np.log(np.clip(np.where(val_arms, probability, 1.0 - probability), 1e-6, 1.0)))
        checkpoint_model_at_rung_level(config, save_model, epoch)
        report(epoch=epoch, val_loss=float(val_loss), val_error=float(val_error))


if __name__ == "__main__":
    main()
