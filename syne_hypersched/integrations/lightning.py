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
    """Makes a Lightning trainer elastic: it continues from its last checkpoint, reports, and exits on SIGTERM.

    *Checkpoints.* The trainer is saved at the end of each epoch, after all other callbacks. The report is sent when the
    checkpoint is whole. The last two checkpoints are kept. You may also use other ``ModelCheckpoint`` callbacks;
    without them, Lightning writes no further checkpoints.

    *Exit.* On SIGTERM, all processes agree on a step, save, and exit with
    :const:`~syne_hypersched.contract.EXIT_DRAINED`. A running validation is finished first, so the grace period must be
    longer than a validation.

    *Same batch, same order.* The global batch and the order of samples are the same on any number of devices. A run
    that exits inside an epoch continues with the remaining samples of the epoch. This holds for a ``DataLoader`` whose
    data set has a length, with or without ``shuffle``. It also holds for a ``sampler`` whose order follows from the
    epoch and from seeded random numbers. With any other loader, the epoch begins again.

    Parameters
    ----------
    checkpoint_dir
        Folder for checkpoints, which Syne Tune passes as ``--st_checkpoint_dir``.
    metrics
        Names of the logged metrics to report after each epoch.
    global_batch_size
        Number of samples of an optimiser step, over all devices.
    max_local_batch_size
        Number of samples that fit into the memory of a device at once; None: any number.
    reporter
        Called with the metrics as keyword arguments; by default :class:`syne_tune.Reporter`.

    Raises
    ------
    TypeError, ValueError
        A parameter has a wrong type or value, or the global batch cannot be divided by the devices of this launch.
    """
