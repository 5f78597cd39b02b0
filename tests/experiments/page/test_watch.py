from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import tempfile
from urllib.parse import urlsplit

from syne_hypersched.experiments.page.watch import watch_run
from tests.experiments.page.runs import write_example
from tests.installed import skip_without

skip_without("plotly")


def test_it_serves_until_ctrl_c(tmp_path, forked):
    write_example(tmp_path)
    reader, writer = os.pipe()
    with open(reader) as lines, tempfile.TemporaryFile("w+") as errors:
        with open(writer, "wb") as stdout:
            process = forked.start(
                ["-m", "syne_hypersched.cli", "watch", tmp_path], stdout=stdout, stderr=errors.buffer
            )
        try:
            address = urlsplit(lines.readline().strip())
            connection = http.client.HTTPConnection(address.netloc, timeout=100)
            connection.request("GET", f"{address.path}data")
            content = connection.getresponse().read()
            connection.close()
            assert len(json.loads(gzip.decompress(content))["trials"]) == 4
            process.send_signal(signal.SIGINT)
            assert process.wait(100) == 130
            errors.seek(0)
            assert "Traceback" not in errors.read()
        finally:
            process.kill()


def test_a_run_that_is_not_there_is_an_error(tmp_path, capsys):
    assert watch_run(tmp_path) == 2
    assert "metadata.json" in capsys.readouterr().err


def test_a_port_that_is_none_is_an_error(tmp_path, capsys):
    write_example(tmp_path)
    assert watch_run(tmp_path, port=70_000) == 2
    assert "port must" in capsys.readouterr().err
