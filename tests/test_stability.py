from __future__ import annotations

import inspect
import pickle
import warnings

import pytest

from syne_hypersched.stability import ExperimentalWarning, deprecated, experimental, former_arguments


@deprecated(since="0.1.0", removed="0.2.0", instead="double()")
def twice(number: int) -> int:
    """Doubles.

    At length.
    """
    return 2 * number


@deprecated(since="0.1.0", removed="0.2.0", instead="Box")
class Crate:
    """Holds something."""

    def __init__(self, content: object = None) -> None:
        self.content = content


@experimental(since="0.1.0")
class Drone:
    """Flies."""

    def __init__(self, name: str) -> None:
        self.name = name


def test_a_deprecated_function_works_and_names_the_new_one_where_it_is_called():
    with pytest.warns(
        DeprecationWarning,
        match=r"twice is deprecated since version 0\.1\.0 and will be removed in version 0\.2\.0: use double\(\)",
    ) as caught:
        assert twice(4) == 8
    assert caught[0].filename == __file__
    first, note, rest = (twice.__doc__ or "").split("\n\n")
    assert (first, rest) == ("Doubles.", "At length.")
    assert note.startswith(".. deprecated:: 0.1.0")
    assert "double()" in note
    assert twice.__name__ == "twice"


def test_a_deprecated_class_stays_a_class_and_warns_only_when_it_is_made():
    with pytest.warns(DeprecationWarning, match="use Box instead") as caught:
        crate = Crate("hay")
    assert caught[0].filename == __file__
    assert isinstance(crate, Crate)
    assert pickle.loads(pickle.dumps(crate)).content == "hay"
    assert list(inspect.signature(Crate).parameters) == ["content"]


def test_an_experimental_class_warns_once():
    with pytest.warns(ExperimentalWarning, match=r"Drone is experimental since version 0\.1\.0") as caught:
        Drone("a")
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Drone("b").name == "b"
    assert "Experimental since version 0.1.0" in (Drone.__doc__ or "")


class Shop:
    @former_arguments(
        "0.1.0",
        "0.2.0",
        positional=("price", "colour"),
        moved={"colour": "Paint(colour=...)"},
        translate=lambda kwargs: {**{k: v for k, v in kwargs.items() if k != "colour"}, "paint": kwargs["colour"]},
    )
    def __init__(self, name: str, size: int = 1, *, price: int = 0, paint: str = "none") -> None:
        self.sold = (name, size, price, paint)


def test_the_present_spelling_does_not_warn_and_is_the_signature_that_is_shown():
    assert Shop("a", 2, price=3, paint="red").sold == ("a", 2, 3, "red")
    assert (
        str(inspect.signature(Shop))
        == "(name: 'str', size: 'int' = 1, *, price: 'int' = 0, paint: 'str' = 'none') -> 'None'"
    )


def test_former_arguments_work_with_a_warning_that_names_the_new_spelling():
    with pytest.warns(
        DeprecationWarning, match=r"Shop\(\) with more than 2 positional arguments .* use price=\.\.\. instead"
    ) as caught:
        assert Shop("a", 2, 3).sold == ("a", 2, 3, "none")
    assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="of Shop|Shop\\(\\)") as caught:
        assert Shop("a", 2, 3, "red").sold == ("a", 2, 3, "red")
    assert [str(warning.message).split(" is deprecated")[0] for warning in caught] == [
        "Shop() with more than 2 positional arguments"
    ]
    assert "use price=..., Paint(colour=...) instead" in str(caught[0].message)
    with pytest.warns(DeprecationWarning, match=r"colour= of Shop .* use Paint\(colour=\.\.\.\) instead"):
        assert Shop("a", colour="blue").sold == ("a", 1, 0, "blue")


def test_what_never_was_an_argument_is_none_now():
    with pytest.raises(TypeError, match="Shop takes at most 4 positional arguments, but got 5"):
        Shop("a", 2, 3, "red", 5)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="Shop got more than one value for price"):
        Shop("a", 2, 3, price=4)  # type: ignore[misc]
    with pytest.raises(TypeError, match="weight"):
        Shop("a", weight=1)  # type: ignore[call-arg]
