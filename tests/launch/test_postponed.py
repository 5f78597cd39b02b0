"""What preloaded modules do when they are imported happens in a launch when its script imports them."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("no_process_left")

#: Stand-ins of libraries: one that configures the log, one that adds a handler, two that ask for a folder, one that
#: inserts filters of warnings, and one that changes the environment.
LIBRARIES = {
    "talkative/__init__.py": "from talkative import report",
    "talkative/report.py": "import logging\nlogging.basicConfig(level=logging.ERROR)",
    "talkative/space.py": "",
    "handling.py": "import logging\nlogging.getLogger().addHandler(logging.NullHandler())",
    "folders.py": "import tempfile\nfolder = tempfile.gettempdir()",
    "outer.py": "import folders",
    "filtering.py": (
        "import warnings\nwarnings.filterwarnings('ignore', 'known')\nwarnings.simplefilter('always', append=True)\n"
        "with warnings.catch_warnings():\n    warnings.simplefilter('error')\n"
    ),
    "setting.py": (
        "import os\nos.environ['SET'] = 'import'\nos.environ.setdefault('KEPT', 'import')\n"
        "os.environ.pop('TAKEN', None)\n"
    ),
}
VARIABLES = "print([os.environ.get(name) for name in ('SET', 'KEPT', 'TAKEN')])\n"
HANDLERS = "print([type(handler).__name__ for handler in logging.getLogger().handlers], logging.getLogger().level)\n"

SCRIPTS = {
    "nothing is imported": "logging.warning('a')",
    "the log is configured first": """
        logging.basicConfig(level=logging.INFO, format="own %(message)s", stream=sys.stdout)
        from talkative import report
        logging.info("a")
        """,
    "the log is configured afterwards": """
        import talkative
        logging.basicConfig(level=logging.INFO, format="own %(message)s", stream=sys.stdout)
        logging.warning("a")
        """,
    "a file for the log": """
        logging.basicConfig(level=logging.INFO, filename="log")
        logging.info("a")
        print(open("log").read())
        """,
    "another module of the package": """
        import talkative.space
        logging.warning("a")
        """,
    "imported in a function": """
        def report():
            import talkative
        logging.basicConfig(level=logging.INFO)
        report()
        logging.info("a")
        """,
    "imported twice": """
        import talkative, handling
        logging.getLogger().handlers.clear()
        import talkative, handling
        logging.error("a")
        """,
    "a handler is added in any case": """
        logging.basicConfig(level=logging.INFO)
        import handling, talkative
        """,
    "another stream for errors": """
        sys.stderr = sys.stdout
        import talkative
        logging.error("a")
        """,
    "a folder for temporary files": """
        os.mkdir("own")
        os.environ["TMPDIR"] = os.path.abspath("own")
        import outer, tempfile
        print(os.path.basename(tempfile.gettempdir()))
        """,
    "a folder that is set too late": """
        import outer
        os.mkdir("own")
        os.environ["TMPDIR"] = os.path.abspath("own")
        import tempfile
        print(os.path.basename(tempfile.gettempdir()) == "own")
        """,
    "the time of the log": """
        record = logging.makeLogRecord({})
        print(0 <= record.relativeCreated < 300_000)
        """,
    "filters that come before those of an import": """
        import warnings
        warnings.simplefilter("error")
        import filtering
        warnings.warn("known")
        print(warnings.filters)
        """,
    "filters that come after those of an import": """
        import filtering, warnings
        warnings.simplefilter("always")
        warnings.warn("known")
        print(warnings.filters)
        """,
    "filters of an import that is not made": """
        import warnings
        warnings.warn("known")
        print(warnings.filters)
        """,
    "variables that an import sets": f"""
        {VARIABLES}
        import setting
        {VARIABLES}
        os.system("echo $SET $KEPT")
        """,
    "variables that the script has set": f"""
        os.environ["KEPT"] = "own"
        import setting
        os.environ["SET"] = "own"
        import setting
        {VARIABLES}
        """,
    "the thread of the log": "import threading\nprint(threading.main_thread().native_id == os.getpid())",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What all tests here share: a folder with the libraries."""
    folder = tmp_path_factory.mktemp("libraries")
    for name, text in LIBRARIES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text + "\n")
    return folder


@pytest.fixture(scope="module")
def with_libraries(shared, make_module_launches):
    """A server that has imported the libraries launches all scripts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(shared))
        patch.delenv("TMPDIR", raising=False)
        patch.setenv("TAKEN", "by the import")
        yield make_module_launches(["talkative", "handling", "outer", "talkative.space", "filtering", "setting"])


@pytest.mark.parametrize("name", SCRIPTS)
def test_warm_is_as_cold(with_libraries, tmp_path, wait_for, name):
    launches = with_libraries.of_test(tmp_path, wait_for)
    script = launches.script("import logging, os, sys\n" + SCRIPTS[name].replace("\n        ", "\n") + "\n" + HANDLERS)
    said = []
    for warm in (True, False):
        for left in ("log", "own"):
            path = launches.folder / left
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        assert launches.run([script], warm=warm).exit_code == 0, launches.lines("err0")
        said.append([launches.lines("out0"), launches.lines("err0")])
        for log in ("out0", "err0"):
            (launches.folder / log).unlink()
    assert said[0] == said[1]
    assert said[0][0], "shows nothing"


def test_a_script_is_heard_that_configures_its_log_before_it_imports_the_reporter(make_launches):
    pytest.importorskip("syne_tune")
    launches = make_launches(preload=["syne_tune"])
    script = launches.script(
        """
        import logging
        logging.basicConfig(level=logging.INFO, format="own %(message)s")
        from syne_tune import Reporter
        logging.info("heard")
        """
    )
    assert launches.run([script]).exit_code == 0
    assert launches.lines("err0") == ["own heard"]
