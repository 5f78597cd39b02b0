# %% [markdown]
# # HyperSched: the best scheduler depends on the deadline
#
# *I have eight devices and a limited time. Which scheduler finds the best model in this time?* This notebook uses the table
# of learning curves in the package: 1,000 configurations of a small network, 81 epochs each, with the measured seconds of
# every epoch. All runs are in virtual time, so hours of training take only seconds.
#
# `hypersched compare` uses the same functions, so the command line gives the same numbers.

# %%
# %matplotlib inline
import os

import matplotlib.pyplot as plt

from syne_hypersched.comparison.benchmarks import load_benchmark
from syne_hypersched.comparison.figures import comparison_figure
from syne_hypersched.comparison.presets import ABLATION_ARMS, make_study, num_cores
from syne_hypersched.comparison.runner import run_study
from syne_hypersched.comparison.tables import comparison_table

QUICK = os.environ.get("SYNE_HYPERSCHED_QUICK") == "1"
SEEDS = range(2 if QUICK else 20)
JOBS = 1 if QUICK else num_cores()

benchmark = load_benchmark("digits")
print(benchmark.table.description)
print(f"{len(benchmark.table)} configurations, a median full run takes {benchmark.full_run_s:.2f} s on one device")

# %% [markdown]
# ## Accuracy and trials evaluated, by deadline
#
# The devices scale like a ResNet-50 (5.6 times as fast on eight), and launches cost 1 % of a full run. A deadline of `0.5x`
# is half of a median full run: a median trial cannot finish on one device. With the same seed, all schedulers draw the same
# configurations in the same order, so differences are paired.

# %%
SCHEDULERS = ["hypersched", "hypersched-published", "asha", "asha:grace_period=2", "pasha", "random"]
study = make_study(schedulers=SCHEDULERS, deadlines=["0.5x", "1x", "2x"], seeds=SEEDS)
results = run_study(study, jobs=JOBS)
columns = [
    "deadline",
    "scheduler",
    "value_mean",
    "regret_mean",
    "gain_mean",
    "gain_low",
    "gain_high",
    "num_trials",
    "utilisation",
]
comparison_table(results)[columns].round(3)

# %%
figure = comparison_figure(results, study.scenarios[0])
figure.set_size_inches(13, 6.6)
figure.set_dpi(100)
figure

# %% [markdown]
# `hypersched` is the **adaptive** strategy, the default (see `docs/adaptive.md`). `hypersched-published` has the rules of the
# paper. `asha:grace_period=2` is ASHA with its first rung at the second report. The gain is relative to `asha`. Observations:
#
# - The shorter the deadline, the more a trial gains from several devices. Random search and ASHA keep every trial on one
#   device, and end with many trials that are only half trained. At half of a full run, `hypersched` has two thirds of the
#   regret of ASHA. At two full runs the difference is small.
# - The adaptive strategy explores until shortly before the end, and then gives all devices to the best few trials.
# - The published rules try few configurations: they admit no more trials as soon as a new trial could not win on a single
#   device. Many devices are idle when only a few trials are left. At deadlines of one full run and more they are not better
#   than ASHA.
# - PASHA has another purpose: it finds the best configuration with as few epochs as possible, and you train this
#   configuration afterwards. Its values in this table are from trials that were never trained to the end.
#
# This is only one table. Twenty seeds can separate schedulers whose regrets differ by a third, but not by a tenth: see the
# interval of the gain. Over seven tables, most of the lead comes from the first rung, and ASHA can use the same first rung:
# see `docs/claims.md`.

# %% [markdown]
# ## Allocation over time
#
# Each picture shows one run of a strategy: above, the metric of each trial; below, the trial on each device. The published
# rules do not use the whole time, because they end when none of the remaining trials could win. One run shows how a strategy
# works, but not which strategy is better: with this seed the published rules were lucky.

# %%
import logging
from pathlib import Path
from tempfile import mkdtemp

from syne_hypersched import HyperSched, LaunchCost, simulate
from syne_hypersched.experiments import draw_run, load_run

logging.getLogger("syne_hypersched").setLevel(logging.ERROR)  # otherwise a message says how much time is not used


def draw_strategy(strategy):
    deadline_s = benchmark.full_run_s
    folder = Path(mkdtemp())
    scheduler = HyperSched(
        benchmark.table.configuration_space,
        metric="val_accuracy",
        time_attr="epoch",
        max_t=81,
        num_devices=8,
        deadline_s=deadline_s,
        do_minimize=False,
        scaling="resnet50",
        strategy=strategy,
        random_seed=1,
    )
    run = simulate(
        scheduler,
        benchmark.table,
        num_devices=8,
        deadline_s=deadline_s,
        launch_cost=LaunchCost(start_s=0.01 * deadline_s),
        events_path=folder / "events.jsonl",
    )
    run.save(folder)
    best = run.best("val_accuracy", do_minimize=False)
    figure = draw_run(load_run(folder), f'strategy="{strategy}": {run.num_trials} trials, best accuracy {best:.3f}')
    figure.set_size_inches(9, 7)
    figure.set_dpi(100)
    return figure


draw_strategy("adaptive")  # the default

# %%
draw_strategy("published")

# %% [markdown]
# ## The effect of each part of the published rules
#
# This is the ablation study of the HyperSched authors: one part at a time is removed, and the rest is compared on the same seeds.

# %%
arms = ABLATION_ARMS[:4] if QUICK else ABLATION_ARMS
ablation = run_study(make_study("ablation", schedulers=arms, deadlines=["0.5x", "2x"], seeds=SEEDS), jobs=JOBS)
comparison_table(ablation)[
    ["deadline", "scheduler", "value_mean", "gain_mean", "gain_low", "gain_high", "wins", "losses"]
].round(3)

# %% [markdown]
# `gain` is the improvement over the complete published rules, paired by seed. A part has an effect if its removal gives a
# gain below zero with an interval that excludes zero. Resizing (removed by `policy=none`) matters at both deadlines, and the
# admission rule (`job_limit`) at the short deadline. The way in which launch costs are counted, and the choice among the
# other policies, have almost no effect in this study, because few trials are left after admission has closed.

# %%
plt.close("all")
