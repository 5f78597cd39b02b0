"""Checks whether the name of a metric contradicts the direction in which it is optimised."""

from __future__ import annotations

import re

#: Words for metrics of which higher values are better, and of which lower values are better.
_MORE = frozenset((
    "accuracy", "acc", "auc", "auroc", "auprc", "roc", "f1", "fscore", "r2", "reward", "rewards", "return", "score",
    "precision", "recall", "iou", "miou", "dice", "bleu", "rouge", "psnr", "ssim", "map", "likelihood",
))  # fmt: skip
_LESS = frozenset((
    "loss", "losses", "error", "err", "rmse", "mse", "mae", "mape", "rmsle", "logloss", "crossentropy", "perplexity",
    "ppl", "nll", "regret", "brier", "fid", "wer", "cer", "crps",
))  # fmt: skip
#: Words that reverse the meaning, as in ``neg_mean_squared_error``.
_NOT = frozenset(("neg", "negative", "negated", "minus"))
#: If a name has one of these words, or words of both kinds, it suggests no direction.
_UNCLEAR = frozenset((
    "gain", "improvement", "reduction", "decrease", "drop", "delta", "diff", "difference", "gap", "ratio", "weight",
    "scale",
))  # fmt: skip

_WORD = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")
_told: set[tuple[str, bool]] = set()


def is_more_better(metric: str) -> bool | None:
    """Whether a metric's name suggests that higher values are better; None if it suggests nothing.

    Example
    -------
    >>> [is_more_better(name) for name in ("val_accuracy", "valLoss", "eval/f1", "neg_rmse", "brier_score", "energy")]
    [True, False, True, True, None, None]
    """
    words = [word.lower() for word in _WORD.findall(metric)]
    bare = [word if word in _MORE else word.rstrip("0123456789") for word in words]  # acc5 is acc, but f1 is not f
    more, less = any(word in _MORE for word in bare), any(word in _LESS for word in bare)
    if more == less or any(word in _UNCLEAR for word in bare):
        return None
    if words[0] == "1" or bare[0] == "one":
        return None  # 1-accuracy, or one_vs_rest_auc
    return more != any(word in _NOT for word in bare)


def doubt_of_direction(metric: str, do_minimize: bool) -> str:
    """The first part of a warning if a metric's name suggests the opposite direction; otherwise empty.

    Parameters
    ----------
    metric
        Name of the metric.
    do_minimize
        Whether it is minimised.

    Example
    -------
    >>> doubt_of_direction("val_loss", do_minimize=False)
    "The metric 'val_loss' is maximised, although a lower value seems to be better"
    >>> doubt_of_direction("val_loss", do_minimize=True)
    ''
    """
    more = is_more_better(metric)
    if more is None or more != do_minimize:
        return ""
    done, better = ("minimised", "higher") if do_minimize else ("maximised", "lower")
    return f"The metric {metric!r} is {done}, although a {better} value seems to be better"


def is_news(metric: str, do_minimize: bool) -> bool:
    """Whether this process asks about this metric for the first time. So a warning is given only once."""
    is_new = (metric, do_minimize) not in _told
    _told.add((metric, do_minimize))
    return is_new
