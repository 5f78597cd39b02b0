"""The replays of a run as a table and in sentences, which claim only what is known."""

from __future__ import annotations

from collections.abc import Sequence

from syne_hypersched import checks
from syne_hypersched._terminal_text import left, right, shown, width
from syne_hypersched._wording import counted, metric_text, seconds_text
from syne_hypersched.replay._curves import RunCurves
from syne_hypersched.replay._outcome import Outcome
from syne_hypersched.replay._scenarios import AS_IT_WAS, KNOWN

_MOST_NAMED = 8


def describe_replay(known: RunCurves, outcomes: Sequence[Outcome]) -> str:
    """What was known, what each scenario would have found, and what remains unknown.

    Parameters
    ----------
    known
        The run.
    outcomes
        The outcomes, ``as it was`` first if it is among them.

    Raises
    ------
    TypeError
        An argument has a wrong type, for example an experiment.
    """
    outcomes = _checked(known, outcomes)
    return "\n".join([*_facts(known), "", *_table(known, outcomes), "", *_sentences(known, outcomes)])


def describe_briefly(known: RunCurves, outcomes: Sequence[Outcome]) -> str:
    """One line about a few scenarios, for the end of a tuning; empty if there are none.

    Parameters
    ----------
    known
        The run.
    outcomes
        The outcomes, without that of the run as it was.

    Raises
    ------
    TypeError
        An argument has a wrong type, for example an experiment.
    """
    outcomes = _checked(known, outcomes)
    parts = []
    for outcome in outcomes:
        if outcome.winner is None:
            parts.append(f"{outcome.scenario.label}, no trial would have reported")
        elif outcome.is_sure(known.best_trial):
            parts.append(f"{outcome.scenario.label}, the same trial would have won")
        elif outcome.winner == known.best_trial:
            parts.append(f"{outcome.scenario.label}, the same trial would have won, as far as is known")
        else:
            parts.append(f"{outcome.scenario.label}, it would have been lost ({_fate(known, outcome)})")
    text = "; ".join(parts)
    return f"replay: {text}" if text else ""


def _checked(known: object, outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
    checks.instance("known", known, RunCurves, KNOWN)
    return checks.instances("outcomes", outcomes, Outcome, "what replay_scenarios returns")


def _facts(known: RunCurves) -> list[str]:
    whole = len(known.curves) - known.num_censored
    measured = ", ".join(f"{size}: {speed:.2f}" for size, speed in known.speed_up.items() if size > 1)
    speed = f"speed-up by devices, as measured in this run: {measured}"
    if not measured:
        speed = "speed-ups are unknown, and assumed to be 1: no trial has trained on one device and on several"
    trials = f"reports of {counted(len(known.curves), 'trial')}: {whole} trained to {shown(known.time_attr)} "
    trials += f"{known.max_t:g} or to its own end, {known.num_censored} paused, stopped or cut off before"
    machine = f"{counted(known.num_devices, 'device')}, {seconds_text(known.deadline_s)} s from the first launch; "
    machine += (
        f"launches cost {seconds_text(known.start_s, 3)} s, relaunches {seconds_text(known.resume_s, 3)} s; {speed}"
    )
    best = f"the run's best: trial {known.best_trial}, {shown(known.metric)} {metric_text(known.best_value)} at "
    return [trials, machine, f"{best}{shown(known.time_attr)} {known.best_level:g}"]


def _table(known: RunCurves, outcomes: Sequence[Outcome]) -> list[str]:
    header = ("searched again", "trials", "best known", f"best {shown(known.metric)}", "trained beyond", "verdict")
    rows = [
        (
            outcome.scenario.label,
            str(outcome.num_trials),
            "-" if outcome.winner is None else f"trial {outcome.winner}",
            "-" if outcome.winner is None else metric_text(outcome.value),
            str(len(outcome.beyond)),
            verdict(known, outcome),
        )
        for outcome in outcomes
    ]
    widths = [max(width(row[column]) for row in (header, *rows)) for column in range(len(header) - 1)]
    return [
        "  ".join((left(row[0], widths[0]), *(right(cell, widths[i + 1]) for i, cell in enumerate(row[1:-1])), row[-1]))
        for row in (header, *rows)
    ]


def verdict(known: RunCurves, outcome: Outcome) -> str:
    """The verdict in a few words, such as ``same trial`` or ``another, as far as known``."""
    if outcome.winner is None:
        return "no result"
    same = outcome.winner == known.best_trial
    if outcome.winner == outcome.hopeful_winner:
        return "same trial" if same else "another trial"
    return "same, as far as known" if same else "another, as far as known"


def _sentences(known: RunCurves, outcomes: Sequence[Outcome]) -> list[str]:
    found = []
    own = f"trial {known.best_trial}"
    others = [outcome for outcome in outcomes if outcome.scenario.label != AS_IT_WAS]
    found += [_self_check(known, outcome) for outcome in outcomes if outcome.scenario.label == AS_IT_WAS]
    sure = [outcome for outcome in others if outcome.is_sure(known.best_trial)]
    likely = [outcome for outcome in others if outcome.winner == known.best_trial and outcome not in sure]
    if sure:
        found.append(f"The same trial, {own}, would have won {_labels(sure)}.")
    if likely:
        rivals = sorted({outcome.hopeful_winner for outcome in likely if outcome.hopeful_winner is not None})
        found.append(
            f"As far as is known, it would also have won {_labels(likely)}. But trial {_listed(rivals, ' or ')} "
            "would have been trained further there than in the run, and might have been better."
        )
    found += [_loss(known, outcome) for outcome in others if outcome.winner != known.best_trial]
    if any(outcome.out_of_trials_s is not None for outcome in outcomes if outcome not in others):
        found.append(
            "In the replay of the run as it was, devices become free earlier than in the run, and no configuration is "
            "left for them. They go to the existing trials."
        )
    late = [outcome for outcome in others if outcome.out_of_trials_s is not None]
    if late:
        found.append(
            f"Not known: {_labels(late)}, configurations would have been tried that the run has not tried. Their "
            "results are unknown. The replay gives their devices to the known trials."
        )
    beyond = sorted({trial_id for outcome in outcomes for trial_id in outcome.beyond})
    if beyond:
        found.append(
            f"Not known: how trial{'s' if len(beyond) > 1 else ''} {_listed(beyond)} would have gone on after the run "
            "ended their training. One replay assumes that each stays at its best known value, and one that it gains "
            "as much as any trial has gained over the same levels. The truth may be outside of both."
        )
    found.append(
        "Times are those that this run has measured, and configurations come in the order of the run. A model-based "
        "searcher would have proposed others."
    )
    return found


def _self_check(known: RunCurves, outcome: Outcome) -> str:
    value = f"{shown(known.metric)} {metric_text(outcome.value)}"
    if outcome.winner == known.best_trial:
        return f"The replay of the run as it was finds the same trial, {value}."
    found = "nothing" if outcome.winner is None else f"trial {outcome.winner} with {value}"
    return (
        f"The replay of the run as it was finds {found} instead of trial {known.best_trial}: times or order were not "
        "those of the run, so what follows is uncertain."
    )


def _loss(known: RunCurves, outcome: Outcome) -> str:
    label, own = outcome.scenario.label, f"trial {known.best_trial}"
    when = label[0].upper() + label[1:]
    if outcome.winner is None:
        return f"{when}, no trial would have reported a finite {shown(known.metric)}."
    text = f"{when}, it would have been lost ({_fate(known, outcome)}): the best that is known would have been trial "
    text += f"{outcome.winner} with {shown(known.metric)} {metric_text(outcome.value)}"
    if outcome.hopeful_winner in (outcome.winner, None):
        return text + "."
    might = (
        f"{own}, trained further," if outcome.hopeful_winner == known.best_trial else f"trial {outcome.hopeful_winner}"
    )
    return f"{text}, though {might} might have been better."


def _fate(known: RunCurves, outcome: Outcome) -> str:
    if not outcome.own_fate:
        return f"it would not have been among the trials that report, of {outcome.num_trials} started"
    where = f"{shown(known.time_attr)} {outcome.own_level:g}"
    if outcome.own_fate == "PAUSE":
        return f"paused at {where}"
    if outcome.own_fate == "STOP" and outcome.own_level < known.max_t:
        return f"stopped at {where}"
    return f"trained to {where} only" if outcome.own_level < known.best_level else f"at {where} another was better"


def _labels(outcomes: Sequence[Outcome]) -> str:
    labels = [outcome.scenario.label for outcome in outcomes]
    shown = ", ".join(labels[:_MOST_NAMED])
    return shown if len(labels) <= _MOST_NAMED else f"{shown} and {len(labels) - _MOST_NAMED} more"


def _listed(items: Sequence[int], joint: str = ", ") -> str:
    shown = joint.join(map(str, items[:_MOST_NAMED]))
    return shown if len(items) <= _MOST_NAMED else f"{shown} and {len(items) - _MOST_NAMED} more"
