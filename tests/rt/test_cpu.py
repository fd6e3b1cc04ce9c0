from __future__ import annotations

import os
from pathlib import Path

import pytest

from rt.backends import cpu


def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, siblings: dict[int, str], quota: str) -> None:
    """Pretend a Linux machine whose processors have these siblings, and a container with this share."""
    for number, text in siblings.items():
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{text}\n")
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(cpu, "_TOPOLOGY", tmp_path)
    monkeypatch.setattr(cpu, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(siblings), raising=False)


def test_two_threads_of_one_core_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(tmp_path, monkeypatch, {0: "0,4", 1: "1,5", 4: "0,4", 5: "1,5"}, "max 100000")
    assert cpu.cpu_threads() == 2


def test_only_the_processors_this_program_may_use_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(tmp_path, monkeypatch, {0: "0", 1: "1", 2: "2", 3: "3"}, "max 100000")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 3}, raising=False)
    assert cpu.cpu_threads() == 2


@pytest.mark.parametrize(
    ("quota", "expected"), [("200000 100000", 2), ("50000 100000", 1), ("max 100000", 4), ("", 4)]
)
def test_a_containers_share_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int
) -> None:
    machine(tmp_path, monkeypatch, {number: str(number) for number in range(4)}, quota)
    assert cpu.cpu_threads() == expected


def test_without_topology_or_affinity_every_processor_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_TOPOLOGY", tmp_path / "missing")
    monkeypatch.setattr(cpu, "_QUOTA", tmp_path / "missing")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cpu.cpu_threads() == 6


def test_the_processors_name_is_read_where_linux_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Made   Up(R) CPU\nflags: x\n")
    monkeypatch.setattr(cpu, "_PROC", tmp_path / "cpuinfo")
    assert cpu.cpu_name() == "Made Up(R) CPU"
    monkeypatch.setattr(cpu, "_PROC", tmp_path / "missing")
    assert cpu.cpu_name() != ""


def test_a_device_is_said_in_words() -> None:
    assert cpu.cpu_device("Intel(R)  Xeon(R)", 2) == "CPU (Intel(R) Xeon(R), 2 threads)"
    assert cpu.cpu_device("N100", 1) == "CPU (N100, 1 thread)"


@pytest.mark.parametrize(
    ("flags", "tiles"),
    [
        ("fpu avx2 avx512f avx512_bf16 avx512_vnni", False),
        ("fpu avx512_bf16 amx_bf16 avx512_fp16 amx_tile amx_int8", True),
        ("fpu avx2", False),
        ("", False),
    ],
)
def test_bf16_is_computed_in_tiles_where_the_processor_has_amx(
    flags: str, tiles: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nmodel name : Some CPU\nflags\t\t: {flags}\n\n")
    monkeypatch.setattr(cpu, "_PROC", tmp_path / "cpuinfo")
    assert cpu.computes_bf16_in_tiles() is tiles


def test_a_processor_that_is_not_described_has_no_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_PROC", tmp_path / "nothing")
    assert not cpu.computes_bf16_in_tiles()
