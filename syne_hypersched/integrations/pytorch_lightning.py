"""A ``pytorch_lightning.Trainer`` as an elastic trial, as in :mod:`syne_hypersched.integrations.lightning`."""

from __future__ import annotations

from syne_hypersched._extras import needs_extra

with needs_extra(__name__, "pytorch-lightning"):
    from pytorch_lightning.callbacks import Checkpoint

from syne_hypersched.integrations._lightning import ElasticHooks

__all__ = ["ElasticCallback"]


class ElasticCallback(ElasticHooks, Checkpoint):
    """See :class:`syne_hypersched.integrations.lightning.ElasticCallback`."""
