"""The environment in which a training script finds its devices."""

from __future__ import annotations

import pytest

from syne_hypersched.backends.machine.discovery import Devices
from syne_hypersched.backends.machine.environment import rank_environments, server_environment

GPUS = Devices(("0", "GPU-abc", "7"))
SLOTS = Devices(("cpu0", "cpu1"), {"cpu0": (0, 1), "cpu1": (2, 3)})
AROUND = {"PATH": "/bin", "RANK": "5", "WORLD_SIZE": "8", "MASTER_ADDR": "elsewhere", "MASTER_PORT": "1"}


def test_one_device_is_a_world_of_one_rank():
    ((env, cores),) = rank_environments(GPUS, ("GPU-abc",), True, AROUND)
    assert 1024 <= int(env.pop("MASTER_PORT")) < 65536
    assert env == {
        "PATH": "/bin", "CUDA_VISIBLE_DEVICES": "GPU-abc", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1",
        "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo", "ST_NUM_DEVICES": "1",
    }  # fmt: skip
    assert cores == ()


def test_each_device_has_a_rank_that_sees_all_of_them():
    ranks = rank_environments(GPUS, ("0", "7"), True, AROUND)
    assert [env["RANK"] for env, _ in ranks] == [env["LOCAL_RANK"] for env, _ in ranks] == ["0", "1"]
    assert {env["CUDA_VISIBLE_DEVICES"] for env, _ in ranks} == {"0,7"}
    assert {(env["WORLD_SIZE"], env["LOCAL_WORLD_SIZE"], env["MASTER_ADDR"]) for env, _ in ranks} == {
        ("2", "2", "127.0.0.1")
    }
    (port,) = {int(env["MASTER_PORT"]) for env, _ in ranks}
    assert 1024 <= port < 65536


def test_one_process_may_have_all_devices_and_has_no_rank():
    ((env, _),) = rank_environments(GPUS, ("0", "7"), False, AROUND)
    assert env == {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0,7", "ST_NUM_DEVICES": "2"}
    ((env, _),) = rank_environments(GPUS, ("7",), False, AROUND | {"ST_NUM_DEVICES": "8"})
    assert env == {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "7", "ST_NUM_DEVICES": "1"}


def test_cpu_slots_are_cores_and_threads():
    ranks = rank_environments(SLOTS, ("cpu0", "cpu1"), True, {"OMP_NUM_THREADS": "1"})
    assert [(env["OMP_NUM_THREADS"], cores) for env, cores in ranks] == [("2", (0, 1)), ("2", (2, 3))]
    ((env, cores),) = rank_environments(SLOTS, ("cpu0", "cpu1"), False, {})
    assert (env["OMP_NUM_THREADS"], cores) == ("4", (0, 1, 2, 3))


@pytest.mark.parametrize("per_device", [True, False])
@pytest.mark.parametrize("inherited", [{}, {"CUDA_VISIBLE_DEVICES": "0,1", "ROCR_VISIBLE_DEVICES": "0"}])
def test_trials_on_cpu_slots_see_no_gpu(per_device, inherited):
    for env, _ in rank_environments(SLOTS, ("cpu0", "cpu1"), per_device, inherited):
        for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
            assert env[name] == ""
        assert env["ACCELERATE_USE_CPU"] == "true"
    assert server_environment(SLOTS, inherited)["CUDA_VISIBLE_DEVICES"] == ""


def test_no_library_has_more_threads_than_the_slot_has_cores():
    inherited = {
        "OMP_NUM_THREADS": "64",
        "MKL_NUM_THREADS": "64",
        "OPENBLAS_NUM_THREADS": "1",
        "NUMEXPR_MAX_THREADS": "x",
    }
    ((env, _),) = rank_environments(SLOTS, ("cpu0",), True, inherited)
    threads = {name: env[name] for name in inherited}
    assert threads == {**inherited, "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    ((env, _),) = rank_environments(GPUS, ("0",), True, inherited)
    assert {name: env[name] for name in inherited} == inherited


def test_a_quota_counts_for_threads_and_not_for_cores():
    slots = Devices(("cpu0", "cpu1"), {"cpu0": (0, 1, 2, 3), "cpu1": (4, 5, 6, 7)}, {"cpu0": 2, "cpu1": 2})
    ranks = rank_environments(slots, ("cpu0", "cpu1"), True, {})
    assert [(env["OMP_NUM_THREADS"], len(cores)) for env, cores in ranks] == [("2", 4), ("2", 4)]
    ((env, cores),) = rank_environments(slots, ("cpu0", "cpu1"), False, {})
    assert (env["OMP_NUM_THREADS"], len(cores)) == ("4", 8)


def test_the_server_has_the_environment_of_a_trial_on_one_device():
    env = server_environment(SLOTS, {**AROUND, "OMP_NUM_THREADS": "1"})
    ((trial, _),) = rank_environments(SLOTS, ("cpu1",), True, {**AROUND, "OMP_NUM_THREADS": "1"})
    of_a_launch = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
    of_a_launch |= {"ST_NUM_DEVICES", "GLOO_SOCKET_IFNAME"}
    assert env == {name: value for name, value in trial.items() if name not in of_a_launch}
    assert of_a_launch <= trial.keys()
    around = {"CUDA_VISIBLE_DEVICES": "3,1", "OMP_NUM_THREADS": "1"}
    assert server_environment(GPUS, {**AROUND, **around}) == {"PATH": "/bin", **around}
    assert server_environment(GPUS, AROUND) == {"PATH": "/bin"}


def test_gloo_uses_the_loopback_interface_by_default():
    assert rank_environments(SLOTS, ("cpu0", "cpu1"), True, {})[0][0]["GLOO_SOCKET_IFNAME"] == "lo"
    told = {"GLOO_SOCKET_IFNAME": "eth0"}
    assert rank_environments(SLOTS, ("cpu0", "cpu1"), True, told)[0][0]["GLOO_SOCKET_IFNAME"] == "eth0"
