"""The searcher ``"joint"``: a model over configuration and resource, a constant share of random draws, and a guard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from syne_hypersched.checks import integer, number, plain_number
from syne_hypersched.schedulers.joint._encoding import Array, Encoding
from syne_hypersched.schedulers.joint._model import (
    Indices,
    Posterior,
    Scales,
    covariances_of,
    crossing_of,
    expected_improvement,
    fitted,
    narrowed,
    rank_correlation,
)
from syne_hypersched.schedulers.joint._records import Data, Records

LEAST_TRIALS = 4
"""Minimum number of trials that count before the model is used."""
MOST_TRIALS = 150
"""Maximum number of trials in the model: half are the best, half the newest. It limits the cost of a suggestion."""
MOST_PENDING = 64
"""Maximum number of trials without a report (the newest) for which the model assumes the predicted result."""
GROWTH = 1.15
"""The scales of the model are fitted again when the number of trials has grown by this factor."""
NUM_STEPS = 8
NUM_RANDOM, NUM_CENTRES, NUM_AROUND = 200, 4, 25
"""Candidates: random ones, and so many around each of the trials with the best predictions."""
MOST_LISTED = 2000
"""Number of configurations of a list, drawn at random, that are considered for one suggestion."""
NUM_SPREAD = 2
"""Before the first report, this many random configurations are drawn, and the one least similar to others is used."""
NUM_DRAWS = 10
"""Maximum number of random draws to find a configuration that was not suggested yet."""


class RandomDraws(Protocol):
    """Suggests random configurations."""

    def suggest(self) -> dict[str, Any] | None:
        """The next configuration."""
        ...


class JointSearcher:
    """Suggests the configuration with the largest expected improvement at the maximum resource.

    A Gaussian process over configuration and resource models all reports of all trials. Trials that were paused early,
    and running ones, count with what they have reported. Trials without a report count as if they had the predicted
    result, so that a batch is diverse. A share of the suggestions is always random. All suggestions are random as long
    as the model cannot rank trials that it has not seen better than chance.

    A report is only stored. The model is fitted when a suggestion is requested.

    Parameters
    ----------
    config_space
        Configuration space: names to domains or constants.
    points
        Configurations to suggest first.
    random_seed
        Seed of everything random.
    max_t
        Maximum resource of a trial.
    explore
        A source of random configurations of the space.
    random_share
        Share of random suggestions, from 0 to 1.
    configs
        If given, only these configurations are suggested after ``points``, each once; random ones in this order. A
        configuration that is also in ``points`` is not suggested again. By default, any configuration of the space.

    Raises
    ------
    TypeError, ValueError
        A number is of the wrong type or out of range, or ``configs`` is empty; the message names it.
    """

    def __init__(
        self,
        config_space: Mapping[str, Any],
        points: Sequence[Mapping[str, Any]],
        random_seed: int,
        max_t: float,
        explore: RandomDraws,
        random_share: float = 0.2,
        configs: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        self._random_share = plain_number("random_share", random_share, "a number from 0 to 1", at_least=0, at_most=1)
        random_seed = integer("random_seed", random_seed, at_least=0, at_most=2**32 - 1)
        max_t = number("max_t", max_t, "a positive number", above=0.0)
        self._encoding = Encoding(config_space)
        self._points = [dict(point) for point in points]
        self._num_points = 0
        self._random_state = np.random.RandomState(random_seed)
        self._explore = explore
        if configs is not None and not configs:
            raise ValueError("configs must have at least one configuration, but got none")
        self._listed = None if configs is None else _Listed(self._encoding, configs)
        self._records = Records(max_t)
        #: Rows of the suggested configurations, and rows of those without a report.
        self._suggested: dict[tuple[float, ...], None] = {}
        self._pending: dict[tuple[float, ...], Array] = {}
        self._scales = Scales.prior(max(1, len(self._encoding)))
        self._num_fitted = 0
        self._is_trusted = False

    def suggest(self) -> dict[str, Any] | None:
        """The next point; then a suggestion of the model or a random configuration; None at the end of a list."""
        config: dict[str, Any] | None
        if self._num_points < len(self._points):
            config = dict(self._points[self._num_points])
            self._num_points += 1
            if self._listed is not None:
                self._listed.strike(config)
        else:
            config = self._modelled()
            config = self._random() if config is None else config
        if config is not None:
            units = self._encoding.units(config)
            key = tuple(units.tolist())
            self._suggested[key] = None
            self._pending.pop(key, None)
            self._pending[key] = units
            if len(self._pending) > MOST_PENDING:
                del self._pending[next(iter(self._pending))]
        return config

    def on_trial_result(self, trial_id: int, config: Mapping[str, Any], value: float, resource: float) -> None:
        """Stores the report."""
        record = self._records.of(trial_id)
        if record is None:
            record = self._records.add(trial_id, self._encoding.units(config))
        self._records.report(record, resource, -value)
        if self._records.counts(record):
            self._pending.pop(tuple(record.units.tolist()), None)

    def on_trial_diverged(self, trial_id: int, config: Mapping[str, Any]) -> None:
        """Counts the trial as one of the worst from now on."""
        record = self._records.of(trial_id)
        if record is None:
            record = self._records.add(trial_id, self._encoding.units(config))
        record.diverged = True
        self._pending.pop(tuple(record.units.tolist()), None)

    def on_trial_end(self, trial_id: int) -> None:
        """Counts the trial from now on, even if it was not trained far."""
        record = self._records.of(trial_id)
        if record is not None:
            record.ended = True
            self._pending.pop(tuple(record.units.tolist()), None)

    def on_trial_error(self, trial_id: int) -> None:
        """Counts the reports before the failure."""
        self.on_trial_end(trial_id)

    def _random(self) -> dict[str, Any] | None:
        """A random configuration. Before the first report, it differs from those suggested so far."""
        number = NUM_SPREAD if self._suggested and not len(self._records) and len(self._encoding) else 1
        drawn = [config for _ in range(number) if (config := self._one_random()) is not None]
        if len(drawn) < 2:
            return drawn[0] if drawn else None
        rows = np.stack([self._encoding.units(config) for config in drawn])
        near = self._encoding.squares(rows, np.array(list(self._suggested))).sum(axis=0).min(axis=1)
        chosen = drawn.pop(int(np.argmax(near)))
        if self._listed is not None:
            self._listed.put_back(drawn)
        return chosen

    def _one_random(self) -> dict[str, Any] | None:
        if self._listed is not None:
            return self._listed.next()
        config: dict[str, Any] | None = None
        for _ in range(NUM_DRAWS):
            config = self._explore.suggest()
            if config is None or tuple(self._encoding.units(config).tolist()) not in self._suggested:
                break
        return config

    def _modelled(self) -> dict[str, Any] | None:
        """The suggestion of the model; None if a random configuration should be suggested."""
        if not len(self._encoding) or self._random_state.uniform() < self._random_share:
            return None
        data = self._records.data(MOST_TRIALS)
        if data is None or len(data.rows) < LEAST_TRIALS:
            return None
        self._fit(data)
        if not self._is_trusted:
            return None
        lengths = np.exp(self._scales.lengths)
        positions = self._encoding.positions(data.rows, lengths)
        # The variance of the individual part is at least the part that the configurations do not explain.
        reports = data.trials, data.lags, data.values
        crossing = crossing_of(*reports)
        posterior = Posterior.of(covariances_of(positions, positions), *reports, math.exp(self._scales.noise), crossing)
        centres = data.rows[np.argsort(-posterior.means, kind="stable")[:NUM_CENTRES]]
        if self._listed is None:
            candidates = self._candidates(centres)
        else:
            indices = self._listed.candidates(centres, lengths, self._random_state)
            candidates = self._listed.rows[indices]
        if not len(candidates):
            return None
        best = max(float(posterior.means.max()), float(data.best.max()))
        gains = expected_improvement(*self._predicted(posterior, positions, candidates, lengths), best)
        index = int(np.argmax(gains))
        if self._listed is not None:
            return self._listed.take(int(indices[index]))
        # The random configuration supplies the hyperparameters that are not in the model.
        return {**(self._explore.suggest() or {}), **self._encoding.config(candidates[index])}

    def _fit(self, data: Data) -> None:
        """Fits the scales, if there are enough new trials, and checks whether the model predicts anything."""
        if len(self._records) >= GROWTH * self._num_fitted:
            self._num_fitted = len(self._records)
            squares = self._encoding.squares(data.rows, data.rows)
            self._scales, left_out = fitted(squares, data.merits, self._scales, NUM_STEPS)
            # One standard error of the rank correlation of independent values.
            by_chance = 1 / math.sqrt(len(data.merits) - 1)
            self._is_trusted = rank_correlation(left_out, data.merits) > by_chance

    def _candidates(self, centres: Array) -> Array:
        """Rows that were not suggested yet: random ones, and some near the centres."""
        found = [self._random_state.uniform(size=(NUM_RANDOM, len(self._encoding)))]
        found += [self._encoding.around(centre, NUM_AROUND, self._random_state) for centre in centres]
        candidates = self._encoding.snapped(np.concatenate(found))
        return candidates[[tuple(row) not in self._suggested for row in candidates.tolist()]]

    def _predicted(self, posterior: Posterior, known: Array, candidates: Array, lengths: Array) -> tuple[Array, Array]:
        """Means and variances of candidates, if the pending trials have the predicted results."""
        of_candidates = self._encoding.positions(candidates, lengths)
        with_trials = covariances_of(of_candidates, known)
        means, variances = posterior.mean(with_trials), posterior.variances(with_trials)
        if self._pending:
            of_pending = self._encoding.positions(np.stack(list(self._pending.values())), lengths)
            pending_with_trials = covariances_of(of_pending, known)
            variances = narrowed(
                variances,
                posterior.covariances(with_trials, pending_with_trials, covariances_of(of_candidates, of_pending)),
                posterior.covariances(pending_with_trials, pending_with_trials, covariances_of(of_pending, of_pending)),
                posterior.own,
            )
        return means, variances


class _Listed:
    """A list of the only configurations that may be suggested, each once."""

    def __init__(self, encoding: Encoding, configs: Sequence[Mapping[str, Any]]) -> None:
        unique: dict[tuple[float, ...], dict[str, Any]] = {}
        for config in configs:
            unique.setdefault(tuple(encoding.units(config).tolist()), dict(config))
        self._encoding = encoding
        self._configs = list(unique.values())
        self.rows = np.array(list(unique)).reshape(len(unique), len(encoding))
        self._left = np.ones(len(unique), dtype=bool)
        self._next = 0

    def next(self) -> dict[str, Any] | None:
        """The first unused configuration."""
        while self._next < len(self._configs) and not self._left[self._next]:
            self._next += 1
        return None if self._next == len(self._configs) else self.take(self._next)

    def take(self, index: int) -> dict[str, Any]:
        """Uses a configuration of the list."""
        self._left[index] = False
        return dict(self._configs[index])

    def strike(self, config: Mapping[str, Any]) -> None:
        """Marks a configuration as used, if it is in the list."""
        same = (self.rows == self._encoding.units(config)).all(axis=1)
        self._left[same] = False

    def put_back(self, configs: Sequence[dict[str, Any]]) -> None:
        """Marks configurations as unused again."""
        for config in configs:
            index = self._configs.index(config)
            self._left[index] = True
            self._next = min(self._next, index)

    def candidates(self, centres: Array, lengths: Array, random_state: np.random.RandomState) -> Indices:
        """Indices of some unused configurations: random ones, and the nearest ones to the centres."""
        left = np.flatnonzero(self._left)
        if len(left) > MOST_LISTED:
            left = random_state.choice(left, MOST_LISTED, replace=False)
        if len(left) <= NUM_RANDOM + NUM_CENTRES * NUM_AROUND:
            return left
        distances = np.tensordot(1 / lengths**2, self._encoding.squares(centres, self.rows[left]), axes=1)
        near = np.argsort(distances, axis=1, kind="stable")[:, :NUM_AROUND].ravel().tolist()
        drawn = random_state.choice(len(left), NUM_RANDOM, replace=False).tolist()
        return left[list(dict.fromkeys([*near, *drawn]))]
