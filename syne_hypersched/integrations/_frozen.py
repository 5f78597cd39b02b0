"""Which parts of a module are frozen, which neither its state nor that of its optimiser tells.

A callback or a module may freeze layers when training begins and release them at some epoch, such as Lightning's
``BackboneFinetuning``. A later launch freezes them again, and the epoch of the release is over.
"""

from __future__ import annotations

from typing import Any

_FROZEN = "frozen"
"""Entry in the notes of a checkpoint: names of frozen parts, by kind."""


def frozen_notes(module: Any) -> dict[str, Any]:
    """For the next launch: parameters without gradients, layers in evaluation mode, and those that count no statistics.

    Parameters
    ----------
    module
        A ``torch.nn.Module``. If it is in an evaluation, nothing is known about its layers.
    """
    modules = list(module.named_modules())
    found = {
        "parameters": [name for name, each in module.named_parameters() if not each.requires_grad],
        "statistics": [name for name, each in modules if getattr(each, "track_running_stats", True) is False],
    }
    if module.training:
        found["modules"] = [name for name, each in modules if not each.training]
    return {_FROZEN: found}


def release(module: Any, notes: dict[str, Any]) -> None:
    """Gives gradients to the parameters that had them, before processes agree on which ones they exchange.

    Parameters
    ----------
    module
        The module as this launch has made it.
    notes
        The notes of the last launch.
    """
    if _FROZEN in notes:
        before = set(notes[_FROZEN]["parameters"])
        _set_gradients(module, {name: True for name, _ in module.named_parameters() if name not in before})


def freeze_again(module: Any, notes: dict[str, Any]) -> None:
    """Freezes what was frozen, and nothing else, when training begins.

    Parameters
    ----------
    module
        As it was made by this launch.
    notes
        What the last launch has noted.
    """
    if _FROZEN not in notes:
        return
    before = {kind: set(names) for kind, names in notes[_FROZEN].items()}
    _set_gradients(module, {name: name not in before["parameters"] for name, _ in module.named_parameters()})
    for name, each in module.named_modules():
        if "modules" in before and each.training == (name in before["modules"]):
            each.training = not each.training
        if hasattr(each, "track_running_stats"):
            each.track_running_stats = name not in before["statistics"]


def _set_gradients(module: Any, wanted: dict[str, bool]) -> None:
    for name, each in module.named_parameters():
        value = wanted.get(name, each.requires_grad)
        if each.requires_grad != value and (each.is_floating_point() or each.is_complex()):
            each.requires_grad_(value)
