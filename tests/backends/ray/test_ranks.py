"""The environment of ranks on several nodes."""

from __future__ import annotations

import pytest

from syne_hypersched.backends.machine.discovery import Devices
from syne_hypersched.backends.ray._ranks import World, environments, interface_of, is_routable, node_environment

GPUS = Devices(("0", "1"))


def test_ranks_of_two_nodes_meet_at_rank_0():
    world = World(size=3, first_rank=1, node_rank=1, num_nodes=2, master=("10.0.0.1", 4711))
    first, second = (env for env, _ in environments(GPUS, ("0", "1"), True, world, {"HOME": "/h"}, "eth7"))
    assert (first["RANK"], first["LOCAL_RANK"], second["RANK"], second["LOCAL_RANK"]) == ("1", "0", "2", "1")
    assert {first["WORLD_SIZE"], first["LOCAL_WORLD_SIZE"], first["NODE_RANK"]} == {"3", "2", "1"}
    assert (first["MASTER_ADDR"], first["MASTER_PORT"]) == ("10.0.0.1", "4711")
    assert first["GLOO_SOCKET_IFNAME"] == first["NCCL_SOCKET_IFNAME"] == "eth7"
    assert first["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_a_single_rank_of_a_node_is_part_of_the_world():
    world = World(size=2, first_rank=0, node_rank=0, num_nodes=2, master=("10.0.0.1", 4711))
    ((env, _),) = environments(GPUS, ("1",), True, world, {}, "eth0")
    assert (env["RANK"], env["WORLD_SIZE"], env["LOCAL_WORLD_SIZE"]) == ("0", "2", "1")


def test_the_interface_that_the_user_names_counts():
    world = World(size=2, first_rank=0, node_rank=0, num_nodes=2, master=("10.0.0.1", 4711))
    inherited = {"GLOO_SOCKET_IFNAME": "ib0", "NCCL_SOCKET_IFNAME": "ib1"}
    ((env, _),) = environments(GPUS, ("1",), True, world, inherited, "eth0")
    assert (env["GLOO_SOCKET_IFNAME"], env["NCCL_SOCKET_IFNAME"]) == ("ib0", "ib1")


def test_ranks_of_one_node_use_the_loopback_interface():
    world = World(size=2, first_rank=0, node_rank=0, num_nodes=1, master=None)
    envs = [env for env, _ in environments(GPUS, ("0", "1"), True, world, {}, None)]
    assert {env["MASTER_ADDR"] for env in envs} == {"127.0.0.1"}
    assert {env["GLOO_SOCKET_IFNAME"] for env in envs} == {"lo"}


def test_trials_do_not_see_what_is_of_ray():
    worker = {"RAY_AUTH_TOKEN": "secret", "RAY_JOB_ID": "1", "OMP_NUM_THREADS": "1", "HOME": "/h"}
    assert node_environment(worker, {"A": "b"}) == {"HOME": "/h", "A": "b"}
    assert node_environment(worker, {"OMP_NUM_THREADS": "8"})["OMP_NUM_THREADS"] == "8"


@pytest.mark.parametrize("ip, expected", [("127.0.0.1", False), ("::1", False), ("10.0.0.4", True), ("head", True)])
def test_other_machines_may_reach_an_address_that_is_not_loopback(ip, expected):
    assert is_routable(ip) is expected


def test_the_interface_of_an_address():
    assert interface_of("127.0.0.1") == "lo"
    assert interface_of("203.0.113.77") is None
