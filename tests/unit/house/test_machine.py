"""Cores and memory are those that every control group around the process leaves, of either version."""

import os
from pathlib import Path

import pytest

from fusion_pipeline import machine
from fusion_pipeline.settings import load_settings

AVAILABLE = 4000 * 1024


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Write a machine of four cores and 4000 KiB of free memory, and what it says of groups."""
    monkeypatch.setattr(machine, "PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))

    def write(own: str, files: dict[str, str]) -> None:
        told = {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 4000 kB\n", "proc/self/cgroup": own}
        for name, text in {**told, **{f"cgroup/{name}": text for name, text in files.items()}}.items():
            path: Path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def test_without_groups_the_machine_counts(groups) -> None:
    groups("", {})
    assert (machine.usable_cores(), machine.available_memory()) == (4, AVAILABLE)


@pytest.mark.parametrize("bound", ["pod", "pod/box"])
def test_tightest_of_nested_groups_counts_in_version_2(groups, bound) -> None:
    files = {f"{group}/memory.max": "max\n" for group in ("pod", "pod/box")}
    files |= {f"{group}/memory.current": "1000000\n" for group in ("pod", "pod/box")}
    files |= {f"{group}/cpu.max": "max 100000\n" for group in ("pod", "pod/box")}
    groups("0::/pod/box\n", files)
    assert (machine.usable_cores(), machine.available_memory()) == (4, AVAILABLE)
    groups("0::/pod/box\n", {f"{bound}/memory.max": "3000000\n", f"{bound}/cpu.max": "250000 100000\n"})
    assert (machine.usable_cores(), machine.available_memory()) == (2, 2_000_000)


def test_tightest_of_nested_groups_counts_in_version_1(groups) -> None:
    own = "4:memory:/pod/box\n2:cpu,cpuacct:/pod/box\n0::/\n"
    groups(
        own,
        {
            "memory/memory.limit_in_bytes": "9223372036854771712\n",
            "memory/memory.usage_in_bytes": "5\n",
            "memory/pod/memory.limit_in_bytes": "3000000\n",
            "memory/pod/memory.usage_in_bytes": "1000000\n",
            "cpu/pod/cpu.cfs_quota_us": "-1\n",
            "cpu/pod/cpu.cfs_period_us": "100000\n",
            "cpu/pod/box/cpu.cfs_quota_us": "150000\n",
            "cpu/pod/box/cpu.cfs_period_us": "100000\n",
        },
    )
    assert (machine.usable_cores(), machine.available_memory()) == (1, 2_000_000)


def test_path_from_outside_of_a_container_leads_to_its_root(groups) -> None:
    groups("0::/kubepods/pod7/box\n", {"memory.max": "3000000", "memory.current": "1000000"})
    assert machine.available_memory() == 2_000_000


def test_pages_of_files_that_can_be_dropped_are_available(groups) -> None:
    files = {
        "memory.max": "3000000",
        "memory.current": "2900000",
        "memory.stat": "anon 1\ninactive_file 900000\n",
    }
    groups("0::/\n", files)
    assert machine.available_memory() == 1_000_000


def test_quota_below_one_core_leaves_one_which_is_the_default_of_threads(groups, monkeypatch) -> None:
    monkeypatch.delenv("FUSION_THREADS", raising=False)
    groups("0::/\n", {"cpu.max": "50000 100000\n"})
    assert machine.usable_cores() == 1
    assert load_settings().threads == 1
