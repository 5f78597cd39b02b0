"""What a training script sees of its devices."""

from __future__ import annotations

from syne_hypersched.backends._environment import rank_environments
from syne_hypersched.backends.discovery import Devices

GPUS = Devices(("0", "GPU-abc", "7"))
SLOTS = Devices(("cpu0", "cpu1"), {"cpu0": (0, 1), "cpu1": (2, 3)})
AROUND = {"PATH": "/bin", "RANK": "5", "WORLD_SIZE": "8", "MASTER_ADDR": "elsewhere", "MASTER_PORT": "1"}


def test_one_device_is_no_distributed_training():
    ((env, cores),) = rank_environments(GPUS, ("GPU-abc",), True, AROUND)
    assert env == {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "GPU-abc"}
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


def test_one_process_may_have_all_devices():
    ((env, _),) = rank_environments(GPUS, ("0", "7"), False, AROUND)
    assert env == {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0,7"}


def test_cpu_slots_are_cores_and_threads():
    ranks = rank_environments(SLOTS, ("cpu0", "cpu1"), True, {"OMP_NUM_THREADS": "1"})
    assert [(env["OMP_NUM_THREADS"], cores) for env, cores in ranks] == [("2", (0, 1)), ("2", (2, 3))]
    ((env, cores),) = rank_environments(SLOTS, ("cpu0", "cpu1"), False, {})
    assert (env["OMP_NUM_THREADS"], cores) == ("4", (0, 1, 2, 3))
    assert env["CUDA_VISIBLE_DEVICES"] == ""


def test_gloo_stays_on_this_machine_unless_told_otherwise():
    assert rank_environments(SLOTS, ("cpu0", "cpu1"), True, {})[0][0]["GLOO_SOCKET_IFNAME"] == "lo"
    told = {"GLOO_SOCKET_IFNAME": "eth0"}
    assert rank_environments(SLOTS, ("cpu0", "cpu1"), True, told)[0][0]["GLOO_SOCKET_IFNAME"] == "eth0"
