"""Syne Tune's own ASHA on the same problem with the same deadline, for a comparison with HyperSched.

Every trial stays on the CPU slot on which it starts.
"""

from __future__ import annotations

import logging

from digits_search_space import CONFIG_SPACE, ENTRY_POINT, MAX_EPOCHS, METRIC, TIME_ATTR, make_parser, parse_args
from syne_tune import Tuner
from syne_tune.backend import LocalBackend
from syne_tune.optimizer.baselines import ASHA
from syne_tune.results_callback import StoreResultsCallback

from syne_hypersched import Deadline, ElasticLocalBackend
from syne_hypersched.experiments import LiveProgress, QuietTunerLogger
from syne_hypersched.experiments.report import report_run


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--backend",
        choices=["elastic", "stock"],
        default="elastic",
        help="elastic (default), or Syne Tune's LocalBackend",
    )
    args = parse_args(parser)
    logging.getLogger().setLevel(logging.WARNING)
    print(f"Tuning {ENTRY_POINT.name} on {args.num_devices} CPU slots for {args.deadline:g} s.")

    if args.backend == "elastic":
        backend = ElasticLocalBackend(ENTRY_POINT, num_devices=args.num_devices, device_type="cpu", time_attr=TIME_ATTR)
    else:
        backend = LocalBackend(str(ENTRY_POINT))
    scheduler = ASHA(
        CONFIG_SPACE,
        metric=METRIC,
        time_attr=TIME_ATTR,
        max_t=MAX_EPOCHS,
        do_minimize=False,
        grace_period=2,
        reduction_factor=4,
        random_seed=args.seed,
    )
    tuner = Tuner(
        trial_backend=backend,
        scheduler=scheduler,
        stop_criterion=Deadline(args.deadline, trial_backend=backend),
        n_workers=args.num_devices,
        sleep_time=0.05,
        max_failures=10,
        tuner_name="asha-digits",
        callbacks=[StoreResultsCallback(), LiveProgress()],
        output_logger=QuietTunerLogger(),
    )
    tuner.run()

    print()
    print(report_run(tuner.tuner_path, time_attr=TIME_ATTR))


if __name__ == "__main__":
    main()
