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
