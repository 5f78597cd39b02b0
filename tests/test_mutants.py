"""The runner of mutants: its changes, and the tests that it runs."""

from __future__ import annotations

from tests import mutants
from tests.mutants import ROOT, make_mutant, num_mutants

SOURCE = '''
def best(values, limit=3):
    """Not 3 < 4."""
    if not values:
        raise ValueError(f"values must have {1 + 1} entries")
    return min(values) + 1 if len(values) <= limit and limit else 0
'''


def test_every_decision_is_mutated_once_and_no_message_is():
    changed = [make_mutant("module.py", SOURCE, index) for index in range(num_mutants(SOURCE))]
    assert len({mutant.source for mutant in changed}) == len(changed)
    assert all("entries" in mutant.source and "1 + 1" in mutant.source for mutant in changed)
    results = set()
    for mutant in changed:
        names: dict = {}
        exec(compile(mutant.source, "module.py", "exec"), names)
        try:
            results.add((mutant.change, names["best"]([5, 7, 9]), names["best"]([5, 7, 9, 11]) == 0))
        except ValueError:
            results.add((mutant.change, None, None))
    assert {value for _, value, _ in results} == {6, 4, 10, 7, 0, None}
    assert any("min(values)  ->  max(values)" in change for change, _, _ in results)


def test_the_tests_of_a_module_are_those_of_its_name_and_then_those_of_its_package():
    own, others = mutants.tests_of("syne_hypersched/allocation/stretch.py", ROOT)
    assert own == ["tests/allocation/test_stretch.py"]
    assert "tests/allocation/test_scaling.py" in others
    own, others = mutants.tests_of("syne_hypersched/rungs.py", ROOT)
    assert (own, others) == (["tests/test_rungs.py"], [])
    own, others = mutants.tests_of("syne_hypersched/schedulers/hypersched/_adaptive.py", ROOT)
    assert "tests/schedulers/hypersched/test_adaptive_decisions.py" in own
    assert all(test.startswith("tests/schedulers/hypersched/") for test in others)
