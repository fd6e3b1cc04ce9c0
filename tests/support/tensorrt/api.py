"""Write down which names of TensorRT's API exist in which version.

    python tests/support/tensorrt/api.py

Needs gcc and PyPI. Takes NVIDIA's own bindings of each version, imports them beside empty libraries instead
of TensorRT's (which makes signatures readable and nothing runnable) and writes what a version has of the
names in `USED` into tests/support/tensorrt/VERSION.json. Whoever calls a further name adds it to `USED` and
runs this again.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
OUT = Path(__file__).parent
WHEELS = {
    "10.3.0": ("tensorrt-cu12-bindings", "10"),
    "10.9.0.34": ("tensorrt-cu12-bindings", "10"),
    "10.13.3.9": ("tensorrt-cu13-bindings", "10"),
    "10.16.1.11": ("tensorrt-cu13-bindings", "10"),
    "11.4.0.106": ("tensorrt-cu13-bindings", "11"),
    "1.7.1.116": ("tensorrt-rtx-cu13-bindings", "1"),
}
"""Version: the wheel, and the number in the file names of the libraries that its bindings want.

10.3 is JetPack 6, 10.13 and 10.16 are JetPack 7, 1.7 is TensorRT for RTX.
"""
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser", "tensorrt_rtx", "tensorrt_onnxparser_rtx")
SYMBOLS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
USED: dict[str, tuple[str, ...]] = {
    # running an engine
    "ILogger": ("__init__", "log"),
    "ILogger.Severity": ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"),
    "Runtime": ("__init__", "deserialize_cuda_engine", "get_engine_validity"),
    "EngineValidity": ("VALID", "SUBOPTIMAL", "INVALID"),
    "EngineInvalidityDiagnostics": (
        "VERSION_MISMATCH",
        "UNSUPPORTED_CC",
        "OLD_CUDA_DRIVER",
        "OLD_CUDA_RUNTIME",
        "INSUFFICIENT_GPU_MEMORY",
        "MALFORMED_ENGINE",
        "CUDA_ERROR",
    ),
    "ICudaEngine": (
        "num_io_tensors",
        "get_tensor_name",
        "get_tensor_mode",
        "get_tensor_dtype",
        "get_tensor_shape",
        "device_memory_size_v2",
        "create_execution_context",
        "create_engine_inspector",
        "create_runtime_config",
    ),
    "IExecutionContext": ("set_tensor_address", "execute_async_v3", "is_stream_capturable", "profiler"),
    "ExecutionContextAllocationStrategy": ("STATIC", "ON_PROFILE_CHANGE", "USER_MANAGED"),
    "IRuntimeConfig": ("create_runtime_cache", "set_runtime_cache"),
    "IRuntimeCache": ("serialize", "deserialize"),
    "IProfiler": ("__init__", "report_layer_time"),
    "TensorIOMode": ("NONE", "INPUT", "OUTPUT"),
    "DataType": ("FLOAT", "HALF", "INT8", "INT32", "INT64", "BOOL", "UINT8"),
    "Dims": ("__init__", "__getitem__", "__len__"),
    # building one
    "Builder": ("__init__", "create_network", "create_builder_config", "build_serialized_network"),
    "NetworkDefinitionCreationFlag": ("STRONGLY_TYPED", "EXPLICIT_BATCH"),
    "INetworkDefinition": ("num_inputs", "num_outputs", "num_layers", "get_input", "get_output", "get_layer"),
    "ITensor": ("name", "shape", "dtype"),
    "OnnxParser": ("__init__", "parse", "num_errors", "get_error"),
    "ParserError": ("desc", "node", "node_name", "node_operator"),
    "IBuilderConfig": (
        "set_flag",
        "set_memory_pool_limit",
        "create_timing_cache",
        "set_timing_cache",
        "get_timing_cache",
        "builder_optimization_level",
        "profiling_verbosity",
        "num_compute_capabilities",
        "set_compute_capability",
        "progress_monitor",
    ),
    "BuilderFlag": ("TF32", "FP16", "INT8", "REQUIRE_USER_ALLOCATION"),
    "MemoryPoolType": ("WORKSPACE",),
    "ProfilingVerbosity": ("LAYER_NAMES_ONLY", "NONE", "DETAILED"),
    "ComputeCapability": ("SM75", "SM80", "SM86", "SM89", "SM120", "SM121", "CURRENT", "NONE"),
    "ITimingCache": ("serialize", "combine"),
    "IHostMemory": ("nbytes",),
    "IProgressMonitor": ("__init__", "phase_start", "step_complete", "phase_finish"),
    "EngineInspector": ("get_engine_information",),
    "LayerInformationFormat": ("ONELINE", "JSON"),
}
"""What this project calls, or asks for before it calls it."""


def main() -> int:
    """Write one file for each version."""
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for version in WHEELS:
            path = OUT / f"{version}.json"
            found = dump(version, Path(folder) / version)
            path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            print(f"{path.relative_to(ROOT)}: {len(found['classes'])} classes")
    return 0


def dump(version: str, folder: Path) -> dict[str, dict[str, dict[str, object]]]:
    """Return what a version has of `USED`."""
    wheel, number = WHEELS[version]
    run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), f"{wheel}=={version}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(folder)
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}() {{ return 0; }}\n" for name in SYMBOLS), encoding="utf-8")
    for name in LIBRARIES:
        soname = f"lib{name}.so.{number}"
        run("gcc", "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o", str(folder / soname), str(source))
    module = next(path.name for path in folder.glob("tensorrt*_bindings"))
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(folder)}
    command = [sys.executable, str(Path(__file__).resolve()), "--read", module]
    result = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{result.stderr}\nfailed: {' '.join(command)}")
    found: dict[str, dict[str, dict[str, object]]] = json.loads(result.stdout)
    return found


def read(module: str) -> dict[str, object]:
    """Return what the imported bindings have of `USED`."""
    trt = __import__(module)
    classes: dict[str, dict[str, object]] = {}
    for name, wanted in USED.items():
        found: object = trt
        for part in name.split("."):
            found = getattr(found, part, None)
        if isinstance(found, type):
            classes[name] = {
                member: facts for member in wanted if (facts := facts_of(found, member)) is not None
            }
    return {"version": trt.__version__, "classes": classes}


def facts_of(kind: type, member: str) -> object:
    """Return an enum's number, an attribute's access, a method's signatures, or None."""
    members = getattr(kind, "__members__", {})
    if member in members:
        return int(members[member])
    found = getattr(kind, member, None) if member in vars(kind) else None
    if isinstance(found, property):
        return "read" if found.fset is None else "read and write"
    return None if found is None else signatures(found.__doc__ or "", member)


def signatures(documentation: str, name: str) -> list[str]:
    """Return the signatures in a docstring of pybind11, written the same for every version of it."""
    found = []
    for line in documentation.splitlines():
        match = re.match(rf"\s*(?:\d+\. )?({re.escape(name)}\(self.*)$", line)
        if match:
            text = re.sub(
                r"\b(?:tensorrt(?:_rtx)?(?:_bindings)?|nvinfer1|nvonnxparser)(?:\.|::)", "", match[1]
            )
            text = re.sub(r"\b(?:collections\.abc|typing_extensions|typing)\.", "", text)
            text = re.sub(r"SupportsInt(?: \| SupportsIndex)?", "int", text).replace("Buffer", "buffer")
            text = text.replace("List[", "Sequence[").replace("list[", "Sequence[")
            text = re.sub(r"Optional\[([\w.]+)\]", r"\1 | None", text)
            text = re.sub(r"<([\w.]+): -?\d+>", r"\1", text)  # a default's number differs between versions
            found.append(text.strip())
    return found


def run(*command: str) -> None:
    """Run a command; what it says is shown where it fails."""
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{result.stdout}{result.stderr}\nfailed: {' '.join(command)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        print(json.dumps(read(sys.argv[2])))
        sys.exit(0)
    sys.exit(main())
