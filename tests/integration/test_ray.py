"""A pair's 40 implicates over two nodes of a Ray cluster, one of which dies: the bytes are those of one process."""

import os
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from fusion_pipeline.storage.layout import Layout
from tests.conftest import PAIR
from tests.serving import environment, make_home, program, wait_until

pytestmark = pytest.mark.slow
M = 40
NODE = {"object_store_memory": 80_000_000}
MORE = {"FUSION_IMPLICATES": str(M)}


@pytest.fixture(scope="module")
def alone(ready_pair, tmp_path_factory) -> Path:
    """A pair that processes of this machine made."""
    return make_home(tmp_path_factory.mktemp("alone"), ready_pair, **MORE)


@pytest.fixture
def cluster():
    """A head that draws nothing, and two nodes that draw one chunk each at a time."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **NODE})
    try:
        for _ in range(2):
            made.add_node(num_cpus=1, **NODE)
        yield made
    finally:
        for node in list(made.list_all_nodes()):
            die(node)
            node.kill_all_processes(check_alive=False, allow_graceful=False)


def die(node) -> None:
    """Kill all processes of a node at once, as when its machine loses power."""
    [raylet] = node.all_processes["raylet"]
    if raylet.process.poll() is None:
        daemon = psutil.Process(raylet.process.pid)
        for process in (daemon, *daemon.children(recursive=True)):
            process.kill()


def drawn(layout: Layout) -> dict[int, bytes]:
    files = {m: layout.implicate(PAIR, m) for m in range(1, M + 1)}
    return {m: file.read_bytes() for m, file in files.items() if file.exists()}


def test_forty_implicates_on_two_nodes_of_which_one_is_killed(alone, cluster, tmp_path) -> None:
    shutil.copytree(alone / "data", tmp_path / "data")
    before, layout = drawn(Layout(alone / "data" / "simulated")), Layout(tmp_path / "data" / "simulated")
    assert len(before) == M
    shutil.rmtree(layout.implicates(PAIR))
    command = ["fuse", "--pair", PAIR, "--implicates", f"1-{M}", "--ray", cluster.address]
    process = subprocess.Popen(
        [program("fusion"), *command],
        env=environment(tmp_path) | MORE | {"FUSION_SOURCE": "simulated"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: len(drawn(layout)) >= 10, 600, "the first implicates")
    die(next(node for node in cluster.list_all_nodes() if node is not cluster.head_node))
    assert len(drawn(layout)) < M, "all was drawn before the node was killed: the test proves nothing"
    output, progress = process.communicate(timeout=400)
    assert process.returncode == 0, output + progress
    assert output.count("✓") == M // 5
    assert drawn(layout) == before
    assert not [path for path in layout.root.rglob(".*.tmp") if not path.name.startswith(f".{os.getpid()}")]


def test_address_without_a_cluster_is_named(tmp_path) -> None:
    done = subprocess.run(
        [program("fusion"), "fuse", "--pair", PAIR, "--implicates", "01-05", "--ray", "127.0.0.1:1"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "SettingsError --ray 127.0.0.1:1: is no cluster" in done.stdout
