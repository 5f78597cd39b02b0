"""Quotas of CPU time, read from invented trees of control groups."""

from __future__ import annotations

import pytest

from syne_hypersched.backends.machine._cpu_quota import cpu_quota

V1 = "31 23 0:28 {root} /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
V2 = "32 23 0:29 {root} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
OTHER = "21 23 0:20 / /proc rw - proc proc rw\n33 23 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"


@pytest.fixture
def tree(tmp_path):
    def make(groups, mounts, files):
        for name, content in {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return cpu_quota(tmp_path)

    return make


def v2(*quotas):
    """Files of groups within each other, from the outermost one on."""
    return {f"sys/fs/cgroup/{'a/b/c/'[: 2 * depth]}cpu.max": f"{quota} 100000\n" for depth, quota in enumerate(quotas)}


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        (("max", "max", "max"), None),
        (("max", "max", "150000"), 1.5),
        (("max", "200000", "max"), 2.0),
        (("max", "50000", "400000"), 0.5),
        (("300000",), 3.0),
    ],
)
def test_the_least_quota_along_the_path_counts(tree, quotas, expected):
    assert tree("0::/a/b\n", OTHER + V2.format(root="/"), v2(*quotas)) == expected


def test_groups_beside_and_below_do_not_count(tree):
    files = {**v2("max", "max", "max", "1000"), "sys/fs/cgroup/other/cpu.max": "1000 100000"}
    assert tree("0::/a/b\n", V2.format(root="/"), files) is None


def test_the_first_version(tree):
    files = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "250000\n",
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "50000\n",
    }
    groups = "5:memory:/elsewhere\n4:cpu,cpuacct:/job\n1:name=systemd:/\n0::/\n"
    assert (
        tree(groups, OTHER + V1.format(root="/") + V2.format(root="/").replace("cgroup rw", "cgroup/unified rw"), files)
        == 5.0
    )
    assert tree("4:cpu,cpuacct:/\n", OTHER + V1.format(root="/"), files) is None


@pytest.mark.parametrize(
    ("groups", "root"), [("0::/\n", "/"), ("0::/docker/1f\n", "/docker/1f"), ("0::/docker/1f\n", "/")]
)
def test_in_a_container(tree, groups, root):
    """The quota of a container is found at the mount, for all kinds of mounts and paths."""
    assert tree(groups, V2.format(root=root), v2("200000")) == 2.0


def test_both_versions_together_and_paths_with_blanks(tree):
    mounts = V1.format(root="/").replace("/sys/fs/cgroup/cpu,cpuacct", r"/my\040groups") + V2.format(root="/")
    files = {
        "my groups/a:b/cpu.cfs_quota_us": "100000",
        "my groups/a:b/cpu.cfs_period_us": "100000",
        **v2("300000"),
    }
    assert tree("4:cpu,cpuacct:/a:b\n0::/\n", mounts, files) == 1.0


def test_a_system_without_control_groups(tree, tmp_path):
    assert cpu_quota(tmp_path) is None
    assert tree("", OTHER, {}) is None
    assert tree("0::/a\n", V2.format(root="/"), {"sys/fs/cgroup/cpu.max": "nonsense"}) is None


def test_this_machine_can_be_read():
    quota = cpu_quota()
    assert quota is None or quota > 0
