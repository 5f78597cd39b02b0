"""HyperSched tunes a small neural network by a deadline, on the cores of this machine.

Trials start on one CPU slot each, and weak trials are paused. Then no new trials start, and the best trials are
relaunched from their checkpoints on more slots. At the deadline every process has ended.
"""

from __future__ import annotations

import logging

from digits_search_space import CONFIG_SPACE, ENTRY_POINT, MAX_EPOCHS, METRIC, TIME_ATTR, make_parser, parse_args
from syne_tune import Tuner
from syne_tune.results_callback import StoreResultsCallback

from syne_hypersched import Deadline, ElasticLocalBackend, HyperSched
from syne_hypersched.experiments import LiveProgress, QuietTunerLogger
from syne_hypersched.experiments.report import report_run


def main() -> None:
    parser = make_parser(__doc__)
    # On two slots resizing does not pay, so the adaptive strategy would not show it.
    parser.add_argument("--strategy", choices=("published", "adaptive"), default="published", help="see HyperSched")
    args = parse_args(parser)
    logging.getLogger().setLevel(logging.WARNING)
    print(f"Tuning {ENTRY_POINT.name} on {args.num_devices} CPU slots for {args.deadline:g} s.")

    backend = ElasticLocalBackend(ENTRY_POINT, num_devices=args.num_devices, device_type="cpu")
    scheduler = HyperSched(
        CONFIG_SPACE,
        metric=METRIC,
        time_attr=TIME_ATTR,
        max_t=MAX_EPOCHS,
        num_devices=args.num_devices,
        deadline_s=args.deadline,
        do_minimize=False,
        grace_period=2,
        strategy=args.strategy,
        random_seed=args.seed,
    )
    tuner = Tuner(
        trial_backend=backend,
        scheduler=scheduler,
        stop_criterion=Deadline(args.deadline, trial_backend=backend),
        n_workers=args.num_devices,
        sleep_time=0.05,
        tuner_name="hypersched-digits",
        callbacks=[StoreResultsCallback(), LiveProgress()],
        output_logger=QuietTunerLogger(),
    )
    tuner.run()

    print()
    print(report_run(tuner.tuner_path))


if __name__ == "__main__":
    main()
