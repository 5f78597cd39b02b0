"""A slow reference implementation of PASHA, as in the paper: everything is counted again at each report.

It shares no code with the package. Values are to be minimised and may be ``inf``, the worst.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np

INF = math.inf


def rung_levels(grace_period, reduction_factor, max_t):
    level, levels = Fraction(str(grace_period)), []
    while level < Fraction(str(max_t)):
        levels.append(level)
        level *= Fraction(str(reduction_factor))
    return levels


def is_promotable(value, values, order):
    """Whether a value is at least as good as the linearly interpolated quantile of the given order."""
    if len(values) < 2 or value == INF:
        return False
    ascending = sorted(values)
    position = order * (len(ascending) - 1)
    below = math.floor(position)
    low = ascending[below]
    if position == below or low == INF:
        return value <= low
    high = ascending[below + 1]
    if high == INF:
        return True
    return Fraction(value) <= Fraction(low) + (position - below) * (Fraction(high) - Fraction(low))


def within(a, b, epsilon):
    """Whether two values are no further apart than epsilon; rounding must not refuse equality."""
    if a == b:
        return True
    return epsilon > 0 and abs(a - b) <= epsilon + 1e-12 * max(abs(a), abs(b)) < INF


def criss_cross_distance(curve1, curve2, lower, top):
    """The distance of a pair that counts, None for another pair."""
    common = sorted(set(curve1) & set(curve2))
    inside = [epoch for epoch in common if lower < epoch <= top]
    if not inside:
        return None
    last = inside[-1]
    first_is_ahead = curve1[last] < curve2[last]
    if curve1[last] == curve2[last] or INF in (curve1[last], curve2[last]):
        return None
    was_opposite = False
    for epoch in reversed([epoch for epoch in common if epoch < last]):
        if curve1[epoch] == curve2[epoch]:
            continue
        same = (curve1[epoch] < curve2[epoch]) == first_is_ahead
        if same and was_opposite:
            return abs(curve1[last] - curve2[last])
        if not same:
            was_opposite = True
    return None


def automatic_epsilon(curves, lower, top):
    """The 90th percentile over all pairs that count, None if there is none."""
    pairs = itertools.combinations(curves.values(), 2)
    distances = [criss_cross_distance(curve1, curve2, lower, top) for curve1, curve2 in pairs]
    distances = [distance for distance in distances if distance is not None]
    return float(np.percentile(distances, 90)) if distances else None


def distance_epsilon(name, scale, values):
    values = [value for value in values if value < INF]
    if len(values) < 2:
        return 0.0
    if name == "soft_ranking_std":
        return scale * float(np.std(values))
    distances = [abs(a - b) for a, b in itertools.permutations(values, 2)]
    return scale * float(np.mean(distances) if name == "soft_ranking_mean_dst" else np.median(distances))


def soft_ranking_changed(lower, top, epsilon):
    """Both arguments map trials to values, in the order in which the trials reached the higher rung."""
    by_lower, by_top = sorted(lower, key=lower.get), sorted(top, key=top.get)
    for at_position, trial in zip(by_lower, by_top, strict=True):
        group = {other for other in lower if within(lower[other], lower[at_position], epsilon)}
        if trial not in group:
            return True
    return False


def rank_biased_overlap(lower, top, p):
    by_lower, by_top = sorted(lower, key=lower.get), sorted(top, key=top.get)
    shares = [len(set(by_lower[:d]) & set(by_top[:d])) / d for d in range(1, len(by_top) + 1)]
    if p == 1:
        return sum(shares) / len(shares)
    return math.fsum((1 - p) * p**i * share for i, share in enumerate(shares))


def rank_regret(lower, top, p, absolute):
    by_lower, by_top = sorted(lower, key=lower.get), sorted(top, key=top.get)
    total, weights = [], []
    for i, (put, own) in enumerate(zip(by_lower, by_top, strict=True)):
        a, b = top[put], top[own]
        if a == b:
            regret = 0.0
        elif b == INF:
            regret = -1.0
        elif b == 0:
            regret = math.copysign(INF, a - b)
        else:
            regret = (a - b) / abs(b)
        total.append((abs(regret) if absolute else regret) * (1.0 if abs(regret) == INF else p**i))
        weights.append(p**i)
    if INF in total:
        return INF
    if -INF in total:
        return -INF
    return math.fsum(total) / math.fsum(weights)


def ranking_changed(name, kwargs, lower, top, epsilon):
    if name.startswith("soft_ranking"):
        return soft_ranking_changed(lower, top, epsilon if len(top) >= 2 else 0.0)
    if name == "direct":
        return sorted(lower, key=lower.get) != sorted(top, key=top.get)
    p = kwargs.get("p", 0.5)
    if name == "rbo":
        return rank_biased_overlap(lower, top, p) < kwargs.get("threshold", 0.5)
    return rank_regret(lower, top, p, name == "arrr") > kwargs.get("threshold", 0.05)


class ReferencePASHA:
    """The whole scheduler: suggestions, decisions, the cap and epsilon."""

    def __init__(self, max_t, grace_period, reduction_factor, ranking_criterion, ranking_kwargs):
        self.levels = rung_levels(grace_period, reduction_factor, max_t)
        self.max_t = max_t
        self.criterion, self.kwargs = ranking_criterion, ranking_kwargs
        self.rungs = [{} for _ in self.levels]
        self.curves = {}
        self.running = {}  # trial -> milestone
        self.paused = {}  # trial -> index of the rung
        self.top = 1
        self.cap = self.levels[1] if len(self.levels) > 1 else max_t
        self.automatic = 0.0

    @property
    def epsilon(self):
        if self.criterion == "soft_ranking_auto":
            return self.automatic
        if self.criterion == "soft_ranking":
            return self.kwargs["epsilon"]
        if self.criterion.startswith("soft_ranking"):
            values = [self.rungs[self.top - 1][trial] for trial in self.rungs[self.top]] if len(self.levels) > 1 else []
            return distance_epsilon(self.criterion, self.kwargs["scale"], values)
        return None

    def next_level(self, index):
        return self.levels[index + 1] if index + 1 < len(self.levels) else self.max_t

    def suggest(self):
        """The trial that is resumed and its milestone; None and the milestone for a new trial."""
        for index in reversed(range(len(self.levels))):
            rung = self.rungs[index]
            if self.levels[index] >= self.cap:
                continue
            waiting = [trial for trial in rung if self.paused.get(trial) == index]
            if not waiting:
                continue
            best = min(waiting, key=rung.get)
            order = self.levels[index] / Fraction(str(self.next_level(index)))
            if is_promotable(rung[best], rung.values(), order):
                del self.paused[best]
                self.running[best] = self.next_level(index)
                return best, self.next_level(index)
        return None, self.levels[0] if self.levels else self.max_t

    def add(self, trial):
        self.running[trial] = self.levels[0] if self.levels else self.max_t

    def end(self, trial):
        self.running.pop(trial, None)
        self.paused.pop(trial, None)

    def report(self, trial, resource, value):
        if trial not in self.running:
            return "PAUSE" if trial in self.paused else "STOP"
        if resource >= self.running[trial]:
            arrives = len(self.levels) > 1 and resource >= self.levels[self.top] and trial not in self.rungs[self.top]
            for level, rung in zip(self.levels, self.rungs, strict=True):
                if level <= resource:
                    rung.setdefault(trial, value)
            del self.running[trial]
            if resource >= self.max_t:
                return "STOP"
            self.paused[trial] = max(i for i, level in enumerate(self.levels) if level <= resource)
            if arrives and self.cap != self.max_t:
                self.merge(resource)
        curve = self.curves.setdefault(trial, {})
        if resource not in curve and len(self.levels) > 1:
            curve[resource] = value
            self.compare()
        return "PAUSE" if trial in self.paused else "CONTINUE"

    def merge(self, resource):
        """Rungs that no report has told apart count as one."""
        low, high = self.levels[self.top - 1], self.levels[self.top]
        if any(low <= level < high for curve in self.curves.values() for level in curve):
            return
        above = [i for i, level in enumerate(self.levels) if level > resource]
        if above:
            self.top = above[0]
        self.cap = self.levels[self.top] if above else self.max_t

    def compare(self):
        found = automatic_epsilon(self.curves, self.levels[self.top - 1], self.levels[self.top])
        self.automatic = self.automatic if found is None else found
        top = self.rungs[self.top]
        if not top or self.cap == self.max_t:
            return
        lower = {trial: self.rungs[self.top - 1][trial] for trial in top}
        if ranking_changed(self.criterion, self.kwargs, lower, top, self.epsilon):
            if self.top + 1 < len(self.levels):
                self.top += 1
                self.cap = self.levels[self.top]
            else:
                self.cap = self.max_t
