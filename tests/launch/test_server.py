"""The preloading server: the state that its forks inherit, and launches when it cannot work."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.usefixtures("no_process_left")


def test_a_script_inherits_no_file_descriptor(launches):
    running = [launches.launcher.launch(launches.spec([launches.script("import time; time.sleep(600)", "other.py")]))]
    launches.wait_for(lambda: running[0] in launches.launched)
    script = launches.script(
        """
        import os
        for fd in os.listdir("/proc/self/fd"):
            try:
                print(int(fd), os.readlink(f"/proc/self/fd/{fd}"))
            except FileNotFoundError:
                pass  # that of the listing itself
        """,
        "fds.py",
    )
    assert launches.run([script]).exit_code == 0
    own = ["0 /dev/null", f"1 {launches.folder}/out0", f"2 {launches.folder}/err0"]
    assert sorted(launches.lines("out0")) == own


@pytest.mark.parametrize(
    "text",
    [
        "import os; os._exit(3)",
        "import sys; sys.exit('go away')",
        pytest.param("import os; os.abort()", marks=pytest.mark.slow),
    ],
)
def test_a_module_that_ends_the_server_is_not_preloaded_again(make_launches, monkeypatch, caplog, text):
    launches = make_launches(preload=["fatal_module"])
    (launches.folder / "fatal_module.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(launches.folder))
    script = launches.script("print('trained')")
    assert launches.run([script]).lost
    assert launches.run([script]).exit_code == 0
    assert launches.lines("out0") == ["trained"]
    assert caplog.text.count("without preloading: importing one of fatal_module") == 1


def test_a_server_that_cannot_start_fails_its_launches(launches, monkeypatch, caplog):
    (launches.folder / "sitecustomize.py").write_text("import os; os._exit(9)")
    monkeypatch.setenv("PYTHONPATH", str(launches.folder))
    exit_ = launches.run([launches.script("print('trained')")])
    assert not exit_.lost
    assert "ended with code 9 at its start" in exit_.error
    assert "server.log" in caplog.text


SHADOWS = ("signal", "socket", "selectors", "psutil", "json", "subprocess", "dataclasses", "types")


@pytest.fixture
def shadowing_folder(launches):
    """Modules with the names of those that the server needs; importing one ends the process."""
    for name in SHADOWS:
        (launches.folder / f"{name}.py").write_text(
            f"open({str(launches.folder / 'executed')!r}, 'a').write('{name} ')\n1 / 0\n"
        )
    return launches.folder


def test_the_working_directory_of_the_tuner_is_not_searched(launches, shadowing_folder, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(shadowing_folder)
    script = tmp_path_factory.mktemp("elsewhere") / "train.py"
    script.write_text("import signal, socket, json, sys\nprint(json.dumps(len(sys.path[0])))")
    assert launches.run([str(script)]).exit_code == 0
    assert launches.lines("out0") == [str(len(str(script.parent)))]
    assert not (launches.folder / "executed").exists()


@pytest.mark.parametrize(
    "path", ["{folder}", *(pytest.param(path, marks=pytest.mark.slow) for path in (":/nowhere", "/nowhere:")), ":"]
)
def test_pythonpath_has_no_say_in_what_the_server_is_made_of(
    launches, shadowing_folder, monkeypatch, caplog, path, tmp_path_factory
):
    """The script finds them as in a new interpreter, at the cost of a cold launch."""
    monkeypatch.chdir(shadowing_folder)
    monkeypatch.setenv("PYTHONPATH", path.format(folder=shadowing_folder))
    script = tmp_path_factory.mktemp("elsewhere") / "train.py"
    script.write_text("try:\n    import selectors\nexcept ZeroDivisionError:\n    print('as asked')")
    said = []
    for warm in (True, False):
        assert launches.run([str(script)], warm=warm).exit_code == 0
        said.append(launches.lines("out0"))
    assert said == [["as asked"], ["as asked", "as asked"]]
    assert (launches.folder / "executed").read_text() == "selectors selectors "
    assert caplog.text.count("is launched cold") == 1
    assert "hides a module that the preloading server has loaded" in caplog.text


def test_a_module_beside_the_script_is_the_one_that_it_imports(launches, caplog):
    (launches.folder / "queue.py").write_text("print('the own queue')")
    (launches.folder / "selectors.py").write_text("print('the own selectors')")
    script = launches.script("import queue, selectors")
    assert launches.run([script]).exit_code == 0
    assert launches.lines("out0") == ["the own queue", "the own selectors"]
    assert f"{launches.folder}/selectors.py hides a module" in caplog.text


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("PYTHONUNBUFFERED", "1", "True"),
        pytest.param("PYTHONIOENCODING", "latin-1:replace", "iso8859-1 replace", marks=pytest.mark.slow),
        pytest.param("PYTHONUTF8", "1", "1", marks=pytest.mark.slow),
        pytest.param("PYTHONWARNINGS", "error", "error", marks=pytest.mark.slow),
        ("PYTHONHASHSEED", "3", "0"),
        pytest.param("PYTHONDONTWRITEBYTECODE", "1", "True", marks=pytest.mark.slow),
        ("PYTHONOPTIMIZE", "2", "2"),
        ("PYTHONPATH", "/some/where", "/some/where"),
        ("PYTHONDEVMODE", "1", "True"),
    ],
)
def test_variables_of_the_interpreter(launches, monkeypatch, variable, value, expected):
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(variable, value)
    script = launches.script(
        """
        import os, sys
        flags = sys.flags
        number = hash("x") if "PYTHONHASHSEED" in os.environ else 0
        print(sys.stdout.write_through, sys.stdout.encoding, sys.stdout.errors, flags.utf8_mode, flags.dev_mode,
              sys.warnoptions, flags.hash_randomization, number, sys.dont_write_bytecode, flags.optimize,
              sys.path[0] == os.path.dirname(__file__), sys.path[1:])
        os._exit(0)
        """
    )
    assert launches.run([script]).exit_code == launches.run([script], warm=False).exit_code == 0
    said = launches.lines("out0")
    if variable != "PYTHONUNBUFFERED":
        assert said == []  # it has left without writing out its buffer
        script = launches.script((launches.folder / "train.py").read_text().replace("os._exit(0)", ""))
        assert launches.run([script]).exit_code == launches.run([script], warm=False).exit_code == 0
        said = launches.lines("out0")
    warm_says, cold_says = said
    assert warm_says == cold_says
    assert expected in cold_says


def test_a_variable_that_comes_too_late_makes_a_launch_cold_with_one_warning(launches, monkeypatch, caplog):
    script = launches.script("import sys; print(hash('x'), sys.flags.hash_randomization)")
    assert launches.run([script]).exit_code == 0
    for _ in range(2):
        assert launches.run([script], env={"PYTHONHASHSEED": "0"}).exit_code == 0
    first, *late = launches.lines("out0")
    assert late[0] == late[1] != first
    assert late[0].endswith(" 0")
    assert caplog.text.count("launched cold") == 1
    assert "PYTHONHASHSEED changed after the preloading server had started" in caplog.text
