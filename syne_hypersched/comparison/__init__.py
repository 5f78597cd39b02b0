"""Compares schedulers under deadlines: one library for the command line, the reports and the notebooks.

``settings``      what is compared, as values: :class:`Scenario`, :class:`Study`
``presets``       studies that have a name
``schedulers``    schedulers by name, such as ``asha+kde`` or ``hypersched:policy=top_job``
``benchmarks``    tables of learning curves by name
``scripts``       training scripts by name, for the local backend
``runner``        runs or continues a study, in several processes
``reading``       the result of a run at a deadline
``statistics``    means, intervals, paired differences
``tables``, ``figures``, ``report``   tables, pictures and files at the end

    from syne_hypersched.comparison.presets import make_study
    from syne_hypersched.comparison.runner import run_study
    from syne_hypersched.comparison.tables import results_table

    study = make_study("default", seeds=(0, 1, 2))
    results_table(study, run_study(study, jobs=2))
"""
