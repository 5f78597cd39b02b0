from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from syne_tune import config_space

from syne_hypersched.tuning import SpaceEntry, parse_space
from syne_hypersched.tuning._space import parse_entry

FORMS = {
    "lr=log(1e-4,1e-1)": (config_space.loguniform(1e-4, 1e-1), "loguniform(0.0001, 0.1)"),
    "lr=loguniform(1e-4, 0.1)": (config_space.loguniform(1e-4, 1e-1), "loguniform(0.0001, 0.1)"),
    "p=uniform(0,0.5)": (config_space.uniform(0.0, 0.5), "uniform(0.0, 0.5)"),
    "layers=int(1,8)": (config_space.randint(1, 8), "randint(1, 8)"),
    "batch=logint(16,1024)": (config_space.lograndint(16, 1024), "lograndint(16, 1024)"),
    "batch=logint(1e1,1e3)": (config_space.lograndint(10, 1000), "lograndint(10, 1000)"),
    "width=[8,16]": (config_space.choice([8, 16]), "choice([8, 16])"),
    "opt=[sgd, adam]": (config_space.choice(["sgd", "adam"]), "choice(['sgd', 'adam'])"),
    "opt=choice('sgd','adam')": (config_space.choice(["sgd", "adam"]), "choice(['sgd', 'adam'])"),
    "opt=choice(['sgd', 'adam'])": (config_space.choice(["sgd", "adam"]), "choice(['sgd', 'adam'])"),
    "amp=[true,false]": (config_space.choice([True, False]), "choice([True, False])"),
    "w=ordinal(1,2,4)": (config_space.ordinal([1, 2, 4]), "ordinal([1, 2, 4])"),
}


@pytest.mark.parametrize("text", FORMS)
def test_a_form_is_the_domain_of_syne_tune(text):
    (entry,) = parse_space([text])
    domain, source = FORMS[text]
    assert entry.domain() == domain
    assert entry.source() == source
    assert eval(source, vars(config_space)) == domain


@pytest.mark.parametrize(
    "text, value",
    [
        ("n=81", 81),
        ("n=1e-3", 0.001),
        ("n=abc", "abc"),
        ("n='81'", "81"),
        ("n='a,b'", "a,b"),
        ("n=-1", -1),
        ("n=true", True),
        ("n=[8]", 8),
    ],
)
def test_a_constant_is_passed_as_it_is(text, value):
    entry = parse_space([text, "x=uniform(0,1)"])[0]
    assert (entry.is_constant, entry.domain(), type(entry.domain())) == (True, value, type(value))
    assert eval(entry.source()) == value


@given(st.lists(st.one_of(st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)), min_size=2))
def test_a_list_of_distinct_values_comes_back(values):
    distinct = list({(type(value), value): value for value in values}.values())
    if len(distinct) > 1:
        (entry,) = parse_space([f"x={distinct!r}"])
        assert list(entry.values) == distinct


@given(st.floats(1e-300, 1e300), st.floats(1e-300, 1e300))
def test_bounds_come_back(low, high):
    if low < high:
        (entry,) = parse_space([f"x=log({low!r},{high!r})"])
        assert entry.values == (low, high)


BAD = {
    "lr=log(0,1)": "above 0",
    "lr=log(-1,1)": "above 0",
    "lr=log(1,1)": "below the upper bound",
    "lr=log(2,1)": "below the upper bound",
    "lr=log(1)": "two numbers",
    "lr=log(1,2,3)": "two numbers",
    "lr=log()": "two numbers",
    "lr=log(a,b)": "two numbers",
    "lr=uniform(0,inf)": "two numbers",
    "lr=uniform(0,1e999)": "two numbers",
    "lr=uniform(true,5)": "two numbers",
    "n=int(1,2.5)": "integers",
    "lr=lgo(1,2)": "did you mean 'log'",
    "lr=normal(0,1)": "there is no 'normal'",
    "lr=log(1,2": "bracket",
    "lr=[1,2": "bracket",
    "lr=1,2]": "bracket",
    "width=8,16": "[8,16]",
    "opt=sgd,adam": "[sgd,adam]",
    "lr=[]": "must have numbers",
    "lr=[1,1]": "twice",
    "lr=[a,a]": "twice",
    "lr=[[1,2],[3,4]]": "must have numbers",
    "lr=[1e999,1]": "finite",
    "lr=1e999": "finite",
    "lr=": "'lr' in --space must be",
    "st_checkpoint_dir=[1,2]": "st_",
    "l r=[1,2]": "names of letters",
    "=[1,2]": "names of letters",
    "1x=[1,2]": "begin with a letter",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_entry_is_refused_by_its_name_and_value(text):
    with pytest.raises(ValueError, match="--space") as caught:
        parse_space([text])
    assert BAD[text] in str(caught.value)


@pytest.mark.parametrize("name", ["größe", "学习率", "דיוק", "_x", "lr.a-b"])
def test_a_name_may_have_letters_of_any_language(name):
    (entry,) = parse_space([f"{name}=[1,2]"])
    assert (entry.name, entry.values) == (name, (1, 2))


def test_names_are_unique_and_something_is_searched():
    with pytest.raises(ValueError, match="'a' 2 times"):
        parse_space(["a=[1,2]", "a=uniform(0,1)"])
    with pytest.raises(ValueError, match="only constants: a"):
        parse_space(["a=1"])
    with pytest.raises(ValueError, match="has nothing"):
        parse_space([])


def test_a_file_has_the_same_entries(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text('lr = "log(1e-4, 1e-1)"\nwidth = [8, 16]\nepochs = 81\nopt = ["sgd", "adam"]\namp = true\n')
    assert parse_space([str(path)]) == parse_space(
        ["lr=log(1e-4,1e-1)", "width=[8,16]", "epochs=81", "opt=[sgd,adam]", "amp=true"]
    )
    path.write_text("[space]\nwidth = [8, 16]\n")
    assert parse_space([str(path), "lr=uniform(0,1)"]) == (
        SpaceEntry("width", "choice", (8, 16)),
        SpaceEntry("lr", "uniform", (0.0, 1.0)),
    )


@pytest.mark.parametrize(
    "content, message",
    [
        ("lr = log(1e-4, 1e-1)", "line 1"),
        ("lr = 'lgo(1, 2)'", "did you mean"),
        ("[lr]\nlow = 1\n[b]\nc = 1", "'lr' in --space must be"),
        ("lr = nan", "finite"),
        ("lr = 1979-05-27", "'lr' in --space must be"),
        ("lr = [1, [2]]", "must have numbers"),
    ],
)
def test_a_bad_file_is_refused_by_its_name(tmp_path, content, message):
    path = tmp_path / "space.toml"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"space\.toml") as caught:
        parse_space([str(path)])
    assert message in str(caught.value)


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.toml"):
        parse_space(["nowhere.toml"])


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "space.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"space\.toml must be a TOML file"):
        parse_space([str(path)])


def test_an_entry_is_described_for_people():
    entries = parse_space(["a=log(1e-4,0.1)", "b=[x,y]", "c=81"])
    assert [str(entry) for entry in entries] == ["loguniform(0.0001, 0.1)", "one of x, y", "always 81"]
    assert math.isclose(entries[0].values[0], 1e-4)


@pytest.mark.parametrize("text", ['"log(1,2)"', "'[1, 2]'"])
def test_a_domain_in_quotes_is_told_from_a_text(text):
    with pytest.raises(ValueError, match=re.escape(f"it is quoted like a text: leave the quotes out, x={text[1:-1]}")):
        parse_entry("x", text)
    assert parse_entry("x", '"a text"').values == ("a text",)


def test_a_file_may_begin_with_the_mark_of_its_encoding(tmp_path):
    (tmp_path / "space.toml").write_text('lr = "log(1e-3, 1)"\n', encoding="utf-8-sig")
    assert parse_space([str(tmp_path / "space.toml")])[0].name == "lr"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("log(1e-4,1e-1) width=[8,16]", "quote each: 'x=log(1e-4,1e-1)' 'width=[8,16]'"),
        ("log(1,2),b=log(3,4)", "quote each: 'x=log(1,2)' 'b=log(3,4)'"),
        ("[8,16] b=[1,2]", "quote each: 'x=[8,16]' 'b=[1,2]'"),
        ("(1,2)", "write a list as [1,2], and bounds with a form, such as uniform(1,2)"),
        ("1e-4..1e-1", "write bounds with a form, such as uniform(1e-4, 1e-1)"),
        ("1 ... 8", "write bounds with a form, such as uniform(1, 8)"),
    ],
)
def test_what_is_meant_for_a_domain_is_told_how_to_be_one(text, hint):
    with pytest.raises(ValueError, match=re.escape(hint)):
        parse_entry("x", text)


def test_texts_that_look_like_more_entries_are_values():
    assert parse_entry("x", '["f(a) b=1", "g"]').values == ("f(a) b=1", "g")
    assert parse_entry("x", "16:9").values == ("16:9",)
