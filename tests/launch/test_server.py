"""The preloading server: what its forks inherit, and what becomes of launches when it cannot do its work."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("no_process_left")


def test_a_script_inherits_no_file_descriptor(launches):
    running = [launches.launcher.launch(launches.spec([launches.script("import time; time.sleep(60)", "other.py")]))]
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


@pytest.mark.parametrize("text", ["import os; os._exit(3)", "import sys; sys.exit('go away')", "import os; os.abort()"])
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
