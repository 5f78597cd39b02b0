from __future__ import annotations

import gzip
import http.client
import json
import threading
from collections.abc import Iterator

import pytest

from syne_hypersched.experiments.page import PageServer, RunReader
from tests.experiments.page.runs import write_example
from tests.installed import skip_without

skip_without("plotly")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_example(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def server(run) -> Iterator[PageServer]:
    server = PageServer(RunReader(run.path))
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server
    server.close()
    thread.join()


def ask(server: PageServer, path: str, method: str = "GET", **headers: str):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    return answer, gzip.decompress(content) if answer.headers["Content-Encoding"] == "gzip" else content


def test_the_page_and_its_data(server):
    answer, page = ask(server, f"/{server.token}/")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert b"connect-src 'self'" in page
    answer, content = ask(server, f"/{server.token}/data?since=0")
    assert answer.headers["Content-Type"] == "application/json"
    assert len(json.loads(content)["trials"]) == 4


def test_only_what_is_new_is_sent(server, run):
    _, content = ask(server, f"/{server.token}/data?since=0&generation=0")
    known = json.loads(content)["seq"]
    _, content = ask(server, f"/{server.token}/data?since={known}&generation=0")
    assert json.loads(content)["trials"] == []
    other = f"since={known}&generation=7"
    for bad in ("since=-1", "since=1e9", f"since={known + 1}", "since=%3Cscript", other, "since="):
        _, content = ask(server, f"/{server.token}/data?{bad}")
        assert len(json.loads(content)["trials"]) == 4


@pytest.mark.parametrize("path", ["/", "/data", "//data", "/wrong/data", "/{short}/data", "/{token}x/", "/%C3%A9/"])
def test_without_the_token_there_is_nothing(server, path):
    answer, content = ask(server, path.format(token=server.token, short=server.token[:-1]))
    assert answer.status == 403
    assert b"trials" not in content


def test_another_host_name_is_refused(server):
    """A page of another site whose name points here cannot read the run, even if it knew the token."""
    answer, _ = ask(server, f"/{server.token}/data", Host="attacker.example")
    assert answer.status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_written(server, method):
    answer, _ = ask(server, f"/{server.token}/data", method)
    assert answer.status == 501


@pytest.mark.parametrize("path", ["../metadata.json", "metadata.json", "..%2fmetadata.json", "data/x"])
def test_no_other_file_is_served(server, path):
    assert ask(server, f"/{server.token}/{path}")[0].status == 404


def test_it_listens_on_this_machine_alone(server):
    assert server.address.startswith("http://127.0.0.1:")
    assert server._server.server_address[0] == "127.0.0.1"


def test_each_server_has_its_own_token(run):
    first, second = PageServer(RunReader(run.path)), PageServer(RunReader(run.path))
    first.end()
    second.end()
    assert first.token != second.token


def test_a_port_that_is_in_use_is_an_error(server, run):
    with pytest.raises(OSError):
        PageServer(RunReader(run.path), server.port)


@pytest.mark.parametrize("port", [-1, 65536, 1.5, "80"])
def test_a_port_that_is_none(run, port):
    with pytest.raises((TypeError, ValueError), match="port must"):
        PageServer(RunReader(run.path), port)
