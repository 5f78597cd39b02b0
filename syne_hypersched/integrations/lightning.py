"""A ``lightning.Trainer`` as an elastic trial. For the package ``pytorch_lightning``, see the module of that name.

.. code-block:: python

    elastic = ElasticCallback(args.st_checkpoint_dir, metrics=("val_loss",), global_batch_size=64)
    loader = DataLoader(train_set, batch_size=elastic.local_batch_size, shuffle=True)
    trainer = Trainer(devices=elastic.num_devices, callbacks=[elastic], max_epochs=27)
    trainer.fit(model, loader, val_loader, ckpt_path=elastic.ckpt_path)
"""

from __future__ import annotations

from syne_hypersched._extras import needs_extra

with needs_extra(__name__, "lightning"):
    from lightning.pytorch.callbacks import Checkpoint

from syne_hypersched.integrations._lightning import ElasticHooks

__all__ = ["ElasticCallback"]


class ElasticCallback(ElasticHooks, Checkpoint):
    """Makes a Lightning trainer elastic: it goes on from its last checkpoint, reports, and leaves on SIGTERM.

    *Checkpoints.* The trainer is saved at the end of each epoch, after all other callbacks, and the report goes out
    once the checkpoint is whole. The last two checkpoints are kept. Other ``ModelCheckpoint`` callbacks may be used
    beside; without one, Lightning writes no further checkpoints.

    *Leaving.* On SIGTERM all processes agree on a step, save, and exit with
    :const:`~syne_hypersched.contract.EXIT_DRAINED`. A validation in progress is finished first, so the grace period
    must be longer than a validation.

    *Same batch, same order.* The global batch and the order of samples are the same on any number of devices. A run
    that was left inside an epoch goes on with the samples that are left of it. This holds for a ``DataLoader`` with a
    data set that has a length, with or without ``shuffle``, and for a ``sampler`` whose order follows from the epoch
    and from random numbers that are seeded; with another one the epoch begins again.

    Parameters
    ----------
    checkpoint_dir
        Folder for checkpoints, which Syne Tune passes as ``--st_checkpoint_dir``.
    metrics
        What to report of each epoch: names under which the module logs.
    global_batch_size
        Samples of an optimiser step, over all devices.
    max_local_batch_size
        Samples that fit into the memory of a device at once; None: any number.
    reporter
        Called with the metrics as keyword arguments; by default :class:`syne_tune.Reporter`.

    Raises
    ------
    TypeError, ValueError
        A parameter is something else, or the global batch cannot be divided by the devices of this launch.
    """
