"""A state arrives in other processes as it was: types, shapes, attributes of containers."""

from __future__ import annotations

import socket
import threading
from collections import OrderedDict
from datetime import timedelta

import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402
from torch import nn  # noqa: E402

from syne_hypersched.training._group import find_store, open_store  # noqa: E402
from syne_hypersched.training._transfer import receive, send  # noqa: E402


def moved(state, num_receivers=2):
    """What each receiver gets; each process is a thread here, with a connection of its own."""
    store = open_store(timedelta(seconds=60))
    found = {}

    def get(number: int) -> None:
        others = dist.PrefixStore("x", find_store(store.port, timedelta(seconds=60)))
        found[number] = receive(others, number, num_receivers)

    threads = [threading.Thread(target=get, args=(number,)) for number in range(1, num_receivers + 1)]
    for thread in threads:
        thread.start()
    send(state, dist.PrefixStore("x", store), num_receivers)
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(1, num_receivers + 1))
    return found


@pytest.fixture(autouse=True)
def _loopback(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")


def test_tensors_of_all_kinds_arrive():
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "float": torch.randn(3, 5, generator=generator),
        "transposed": torch.randn(4, 6, generator=generator).T,
        "large": torch.randn(300, 300, generator=generator),
        "bfloat16": torch.randn(7, generator=generator).bfloat16(),
        "complex": torch.randn(3, dtype=torch.complex64, generator=generator),
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(3, dtype=torch.int64),
        "empty": torch.empty(0, 4),
        "parameter": nn.Parameter(torch.ones(2)),
    }
    for got in moved(tensors).values():
        assert list(got) == list(tensors)
        for name, tensor in tensors.items():
            assert got[name].dtype == tensor.dtype
            assert got[name].shape == tensor.shape
            assert torch.equal(got[name], tensor.detach()), name


def test_containers_and_plain_values_stay_what_they_are():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(4, 2)).sum().backward()
    optimizer.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "text": "a:0", "list": [1, (2.5, None)]}
    (got,) = moved(state, 1).values()
    assert isinstance(got["model"], OrderedDict)
    assert got["model"]._metadata == state["model"]._metadata
    assert (got["text"], got["list"]) == ("a:0", [1, (2.5, None)])
    copy = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    copy.load_state_dict(got["model"])
    again = torch.optim.Adam(copy.parameters())
    again.load_state_dict(got["optimizer"])
    for one, other in zip(model.parameters(), copy.parameters(), strict=True):
        assert torch.equal(one, other)
        assert torch.equal(optimizer.state[one]["exp_avg_sq"], again.state[other]["exp_avg_sq"])


def test_a_state_without_tensors_arrives():
    assert moved({"epoch": 3}, 1) == {1: {"epoch": 3}}


def test_the_store_is_on_the_loopback_interface():
    store = open_store(timedelta(seconds=5))
    with socket.create_connection(("127.0.0.1", store.port), timeout=250) as connection:
        assert connection.getpeername()[0] == "127.0.0.1"
    import psutil

    listening = [
        found.laddr.ip
        for found in psutil.Process().net_connections("inet")
        if found.status == psutil.CONN_LISTEN and found.laddr.port == store.port
    ]
    assert set(listening) == {"127.0.0.1"}
