"""A batch on a Ray cluster: with a Ray that works in this process, and with two real nodes."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rt.batch.driver import run_batch
from rt.batch.local import DEATHS, KILLS
from rt.batch.plan import Item, make_plan
from rt.batch.ray import carry_by_ray
from rt.batch.report import viewing
from rt.batch.work import Fact, Task, work
from rt.commands import Batch
from rt.errors import VideobrushError
from rt.image import write_image
from tests.support.batches import Broken, Crashed, InlineRay, Lost, note_and_die, work_where_it_is_told
from tests.support.cli import ROOT
from tests.support.media import Clip, write_clip
from tests.support.onnx_styles import drawn_image, make_style

WAIT_S = 120


@pytest.fixture
def style(tmp_path: Path) -> str:
    return str(make_style(tmp_path / "styles"))


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    write_clip(folder / "a.mp4", Clip(frames=6))
    for name in ("b", "c", "unlucky"):
        write_image(drawn_image(31, 45, seed=ord(name[0])), folder / f"{name}.png")
    return folder


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> InlineRay:
    found = InlineRay()
    monkeypatch.setitem(sys.modules, "ray", found)
    return found


def plan(inputs: Path, out: Path, style: str, **more: Any) -> list[Item]:
    return list(make_plan(Batch((str(inputs),), out, (style,), backend="onnxruntime", **more)).items)


def alone(inputs: Path, out: Path, style: str) -> dict[str, bytes]:
    found = {}
    for item in plan(inputs, out, style):
        assert work(item).status == "done"
        found[item.name] = item.output.read_bytes()
    return found


def test_the_bytes_are_those_of_one_machine(
    inline: InlineRay, inputs: Path, style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # folders are typed as people type them; machines get them from the root
    asked = Batch(("in",), Path("out"), ("styles/drawn",), ray="auto", task_gpus=0.5, backend="onnxruntime")
    outcome = run_batch(asked, make_plan(asked), lambda: False, viewing)
    assert (outcome.status, outcome.counts) == (0, Counter(done=4))
    assert {fact.source for fact in outcome.facts} == {f"in/{path.name}" for path in inputs.iterdir()}
    for name, content in alone(inputs, tmp_path / "alone", style).items():
        assert (tmp_path / "out" / name).read_bytes() == content
    assert inline.asked == {"num_cpus": 1.0, "num_gpus": 0.5, "max_retries": 0}
    assert inline.most == 4  # two at once by its GPU and CPUs, and two that wait
    assert inline.ended == 1
    assert run_batch(asked, make_plan(asked), lambda: False, viewing).skipped == 4
    assert inline.ended == 1  # with nothing to do no cluster is needed


def test_what_was_lost_is_done_again_and_what_kills_is_given_up(
    inline: InlineRay, inputs: Path, style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: Counter[str] = Counter()

    def fails(task: Task) -> type[Exception] | None:
        name = task.item.source.stem
        tries[name] += 1
        if name == "unlucky":
            return Crashed
        return Lost if name == "b" and tries[name] < 9 else None

    inline.fails = fails
    items = plan(inputs, tmp_path / "out", style)
    facts = {Path(fact.source).stem: fact for fact in carry_by_ray("auto", 1, 0, items)}
    assert {name: fact.status for name, fact in facts.items()} == {
        **{"a": "done", "b": "done", "c": "done"},
        "unlucky": "failed",
    }
    assert facts["unlucky"].message == KILLS
    assert tries == Counter(a=1, b=9, c=1, unlucky=DEATHS)


def test_the_chunks_of_a_long_file_are_carried_and_joined(
    inline: InlineRay, style: str, tmp_path: Path
) -> None:
    inputs = tmp_path / "in"
    inputs.mkdir()
    write_clip(
        inputs / "long.mp4", Clip(frames=60, options={"g": "10", "keyint_min": "10", "sc_threshold": "0"})
    )
    items = plan(inputs, tmp_path / "out", style, chunk=0.5)
    seen: list[str] = []

    def fails(task: Task) -> type[Exception] | None:
        seen.append(type(task).__name__)
        return Lost if seen == ["Item", "Chunk"] else None

    inline.fails = fails
    assert [fact.status for fact in carry_by_ray("auto", 1, 0, items)] == ["done"]
    assert (seen[0], seen[-1], set(seen[1:-1])) == ("Item", "Join", {"Chunk"})
    content = items[0].output.read_bytes()
    assert [
        fact.status for fact in carry_by_ray("auto", 1, 0, plan(inputs, tmp_path / "two", style, chunk=0.5))
    ]
    assert (tmp_path / "two" / "long.mp4").read_bytes() == content


def test_what_runs_is_dropped_when_it_is_to_end(
    inline: InlineRay, inputs: Path, style: str, tmp_path: Path
) -> None:
    inline.waits = False
    said = iter([False, False, True, True, True, True])
    items = plan(inputs, tmp_path / "out", style)
    assert list(carry_by_ray("auto", 1, 0, items, cancelled=lambda: next(said))) == []
    assert len(inline.cancelled) == 4
    assert inline.ended == 1


def test_faults_of_a_cluster_are_one_line(
    inline: InlineRay, inputs: Path, style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = plan(inputs, tmp_path / "out", style)

    def said(address: str) -> str:
        with pytest.raises(VideobrushError) as caught:
            list(carry_by_ray(address, 1, 0, items))
        return str(caught.value)

    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert said("10.0.0.5:6379").startswith("10.0.0.5:6379 is another machine, and anybody who reaches")
    assert said("localhost:6379").startswith("there is no Ray cluster at localhost:6379: nobody answers at")
    inline.addresses = ["10.0.0.4", "10.0.0.5"]
    assert said("auto").startswith("the cluster has several machines, and anybody")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert said("10.0.0.5:6379").startswith("there is no Ray cluster at 10.0.0.5:6379")
    inline.fails = lambda task: Broken
    assert "cannot run videobrush: ModuleNotFoundError: no rt; install the same version" in said("auto")
    monkeypatch.setitem(sys.modules, "ray", None)
    assert said("auto").startswith("--ray needs the package ray; type: pip install")


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"task_gpus": 0.5}, "--task-cpus and --task-gpus are taken of a cluster"),
        ({"ray": "auto", "workers": 2}, "--ray gives the work out itself"),
        ({"ray": "auto", "shard": "0/2"}, "--ray gives the work out itself"),
        ({"ray": "auto", "task_cpus": 0.0}, "--task-cpus is a number above 0"),
        ({"ray": "auto", "task_gpus": -1.0}, "--task-cpus is a number above 0"),
        ({"ray": "auto", "task_gpus": 0.25}, None),
    ],
)
def test_what_goes_with_a_cluster(more: dict[str, Any], fault: str | None) -> None:
    found = Batch(("in",), Path("out"), ("winter",), **more).fault()
    assert found is None if fault is None else str(found).startswith(fault)


# ---- two real nodes ----


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Ray with two nodes of one CPU each, which work on this code."""
    pytest.importorskip("ray", reason="needs Ray; type: pip install ray")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patched:
        for name, value in (("PYTHONPATH", f"{ROOT}:{':'.join(sys.path)}"), ("RAY_USAGE_STATS_ENABLED", "0")):
            patched.setenv(name, value)
        found = Cluster(initialize_head=True, head_node_args=node)
        patched.setenv("RAY_ADDRESS", found.address)
        found.second = found.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        yield found
        found.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_node_that_is_killed_changes_no_byte(
    cluster: Any, inputs: Path, style: str, tmp_path: Path
) -> None:
    items = plan(inputs, tmp_path / "out", style)
    facts: list[Fact] = []

    def drive() -> None:
        facts.extend(carry_by_ray("auto", 1, 0, items, perform=work_where_it_is_told))

    driver = threading.Thread(target=drive)
    driver.start()
    wait_until(lambda: len(list((tmp_path / "out").glob("on-*"))) == 2, driver)
    cluster.remove_node(cluster.second, allow_graceful=False)
    (tmp_path / "out" / "go").touch()
    driver.join(WAIT_S)
    assert not driver.is_alive()
    assert [fact.status for fact in facts] == ["done"] * 4
    for name, content in alone(inputs, tmp_path / "alone", style).items():
        assert (tmp_path / "out" / name).read_bytes() == content

    # A process that dies of its task is replaced; the networks of the real work stay loaded.
    deaths = [item for item in plan(inputs, tmp_path / "deaths", style) if item.source.stem == "unlucky"]
    assert [fact.status for fact in carry_by_ray("auto", 1, 0, deaths, perform=note_and_die)] == ["done"]
    assert deaths[0].output.with_suffix(".tries").read_text() == "xx"
    again = plan(inputs, tmp_path / "again", style)
    assert [fact.status for fact in carry_by_ray("auto", 1, 0, again)] == ["done"] * 4
    for item in again:
        assert item.output.read_bytes() == (tmp_path / "out" / item.name).read_bytes()


def wait_until(holds: Callable[[], bool], driver: threading.Thread) -> None:
    until_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until_s
        assert driver.is_alive()
        time.sleep(0.05)
