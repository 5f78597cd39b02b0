# %% [markdown]
# # PASHA on NASBench201: all tables of the paper
#
# This notebook repeats the tables of the PASHA paper (Bohdal et al., ICLR 2023) for reduction factors, ranking criteria and
# Bayesian search, and gives the published numbers. The first table of the paper compares schedulers. It is in
# [PASHA-NB201-Summary](PASHA-NB201-Summary.ipynb), which also explains the comparison.
#
# The notebook uses the real NASBench201 if Syne Tune's blackbox repository has a local copy. Otherwise it uses a **synthetic
# replacement** (`stand-in`). The title of every table says which one was used.

# %%
import os
import warnings

from IPython.display import HTML

from syne_hypersched.comparison.pasha_tables import DATASETS, nb201_blackbox, run_table

warnings.filterwarnings("ignore", module=r"(pandas|statsmodels|tqdm)\.")  # raised inside these libraries

QUICK = os.environ.get("SYNE_HYPERSCHED_QUICK") == "1"
SETTINGS = (
    {"datasets": DATASETS[:1], "scheduler_seeds": range(1), "table_seeds": range(1), "num_configs": 32} if QUICK else {}
)


def show(table):
    for title, part in table.groupby("table", sort=False):
        html = part.drop(columns="table").set_index("method").to_html(float_format="{:.2f}".format)
        display(HTML(html.replace("<thead>", f"<caption>{title}</caption><thead>", 1)))


print(nb201_blackbox(DATASETS[0])[1])

# %% [markdown]
# ## Reduction factors
#
# Published speed-ups of PASHA on CIFAR-10, CIFAR-100 and ImageNet16-120: eta 2: 3.5, 4.2, 4.2; eta 3: 2.3, 3.4, 3.1; eta 4: 2.3,
# 2.8, 2.8. With a small reduction factor the ladder has more rungs, and so the cap has more chances to stay low.

# %%
show(run_table("reduction_factors", **SETTINGS))

# %% [markdown]
# ## Ranking criteria
#
# The ranking criterion decides when the ranking counts as unchanged. Published speed-ups over ASHA (CIFAR-10, CIFAR-100,
# ImageNet16-120): direct ranking 1.1, 1.1, 1.1; fixed epsilon 0.025 1.3, 2.1, 2.8; two standard deviations 1.5, 1.7, 1.9;
# mean distance 1.3, 1.4, 1.4; RBO 1.3, 1.3, 1.4; RRR 1.4, 2.6, 5.0; ARRR 1.2, 1.7, 5.0. Direct ranking is slow, because two
# trials that differ by less than the noise change their order again and again.

# %%
show(run_table("ranking_criteria", **SETTINGS))

# %% [markdown]
# ## Bayesian search
#
# PASHA decides how long trials are trained, and a searcher decides which configurations are tried. The two can be combined.
# The paper used a Gaussian process over learning curves (94.00, 72.16, 45.36 % at 2.0, 3.7 and 3.9 times the speed of ASHA
# with the same searcher). Syne Tune 0.16 no longer has this searcher, so this notebook uses its kernel density estimator
# (TPE). Model-based search takes real time, so there are fewer seeds.

# %%
bayesian = SETTINGS or {"scheduler_seeds": range(3), "table_seeds": range(1)}
show(run_table("bayesian_search", **bayesian))

# %% [markdown]
# Speed-ups are relative to ASHA with random search. A good searcher proposes cells with more convolutions, which take longer.
# So better but more expensive configurations cause a part of the lower speed-up.
