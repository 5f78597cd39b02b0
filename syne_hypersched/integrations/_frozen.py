"""Records which parts of a module are frozen, since neither its state nor that of its optimiser contains this.

A callback or a module may freeze layers when training begins and release them at some epoch, such as Lightning's
``BackboneFinetuning``. A later launch freezes them again, although the epoch of the release is already over.
"""

from __future__ import annotations

from typing import Any

_FROZEN = "frozen"
"""Name in the notes of a checkpoint: names of frozen parts, by kind."""


def frozen_notes(module: Any) -> dict[str, Any]:
    """Notes for the next launch: frozen parameters, layers in evaluation mode, and layers that keep no statistics.

    Parameters
    ----------
    module
        A ``torch.nn.Module``. During an evaluation, nothing is recorded about its layers.
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
    """Enables gradients of parameters that had them, before the processes agree on which ones they exchange.

    Parameters
    ----------
    module
        The module as this launch made it.
    notes
        The notes of the last launch.
    """
    if _FROZEN in notes:
        before = set(notes[_FROZEN]["parameters"])
        _set_gradients(module, {name: True for name, _ in module.named_parameters() if name not in before})


def freeze_again(module: Any, notes: dict[str, Any]) -> None:
    """Freezes, when training begins, exactly the parts that were frozen before.

    Parameters
    ----------
    module
        The module as this launch made it.
    notes
        The notes of the last launch.
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
