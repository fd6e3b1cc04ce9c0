from __future__ import annotations

import json
import re
import signal
import warnings
from fractions import Fraction
from pathlib import Path

import pytest

import rt.job
from rt.card import read_card
from rt.cli import main
from rt.commands import Run
from rt.demo import CLIP
from rt.errors import DamagedSource, SourceError
from rt.job import sink_options, source_options
from rt.pipeline import Stop
from rt.sinks import SinkOptions
from rt.sources import SourceOptions
from rt.stats import Percentiles, Stats
from rt.styles import GALLERY
from rt.terminal import ENDINGS
from tests.support.cli import videobrush
from tests.support.onnx_styles import make_style

GOLDEN = Path(__file__).parents[1] / "golden"


def press(number: int) -> None:
    """Call what a signal would call: a real one would also reach whatever else this process has loaded."""
    action = signal.getsignal(number)
    assert callable(action)
    action(number, None)


class FakeRun:
    """Stands in for `run_job`: remembers what was asked for and ends as told."""

    def __init__(self, stats: Stats, error: BaseException | None = None, kill: int | None = None) -> None:
        self.jobs: list[Run] = []
        self.stats, self.error, self.kill = stats, error, kill

    def __call__(self, job: Run, stop: Stop) -> Stats:
        self.jobs.append(job)
        if self.kill is not None:
            press(self.kill)
            assert stop.requested
        if self.error is not None:
            raise self.error
        return self.stats


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    fake = FakeRun(Stats(120, 4.0, stopped=False))
    monkeypatch.setattr(rt.job, "run_job", fake)
    return fake


def words(text: str) -> list[str]:
    """Return the words of a help text, without the frames that tyro draws around it."""
    return re.sub(r"[─│╭╮╰╯├┤]", " ", text).split()


@pytest.mark.parametrize("command", ["", "demo", "run", "batch", "styles", "bench", "doctor", "studio"])
def test_the_help_is_the_one_agreed_on(command: str, tmp_path: Path) -> None:
    said = videobrush(*command.split(), "--help", cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    golden = GOLDEN / f"help_{command or 'videobrush'}.txt"
    assert words(said.stdout) == words(golden.read_text(encoding="utf-8")), f"changed? then write {golden}"


def test_run_takes_everything_typed(run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run.stats = Stats(120, 4.0, stopped=False, dropped=7, latency={"total": Percentiles(20.4, 31, 44)})
    typed = (
        "run 0 out.mkv frames/ --style winter --record live.mp4 --backend onnxruntime --precision int8 "
        "--size 320 --strength 0.5 --steady 0.7 --detail network --view gray --compare --fps 29.97 "
        "--width 1280 --height 720 --loop --start 1.5 --duration 60 --codec hevc --encoder x265 --crf 23 "
        "--preset slow --overwrite"
    )
    assert main(typed.split()) == 0
    assert run.jobs == [
        Run(
            input="0",
            style="winter",
            output=("out.mkv", "frames/"),
            record="live.mp4",
            backend="onnxruntime",
            precision="int8",
            size=320,
            strength=0.5,
            steady=0.7,
            detail="network",
            view="gray",
            compare=True,
            fps=29.97,
            width=1280,
            height=720,
            loop=True,
            start=1.5,
            duration=60.0,
            codec="hevc",
            encoder="x265",
            crf=23,
            preset="slow",
            overwrite=True,
        )
    ]
    source = SourceOptions(Fraction(2997, 100), 720, 1280, True, 1.5, 60.0)
    sink = SinkOptions(overwrite=True, codec="hevc", encoder="x265", crf=23, preset="slow")
    assert (source_options(run.jobs[0]), sink_options(run.jobs[0])) == (source, sink)
    assert capsys.readouterr().out == (
        "120 frames, 30.0 fps, out.mkv, frames/, live.mp4\n"
        "7 dropped; latency p50/p95/p99: total 20/31/44 ms\n"
    )


def test_a_stream_key_is_not_printed(run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    typed = "run 0 rtmp://me:secret@live.example/app/key null:// --style winter"
    assert main(typed.split()) == 0
    assert capsys.readouterr().out == "120 frames, 30.0 fps, rtmp://live.example, null://\n"


def test_run_has_defaults_for_all_but_input_and_style(
    run: FakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "in.mp4", "--style", "winter"]) == 0
    assert run.jobs == [Run("in.mp4", "winter")]
    assert capsys.readouterr().out == "120 frames, 30.0 fps\n"


@pytest.mark.parametrize(
    ("option", "value", "fault"),
    [
        ("strength", "1.5", "is 1.5, not within 0..1"),
        ("strength", "nan", "is nan, not within 0..1"),
        ("steady", "-0.1", "is -0.1, not within 0..1"),
        ("fps", "0", "is 0.0, not above 0"),
        ("fps", "inf", "is inf, not above 0"),
        ("width", "-640", "is -640, not above 0"),
        ("duration", "nan", "is nan, not above 0"),
        ("start", "-1", "is -1.0, not 0 or more"),
    ],
)
def test_a_number_out_of_range_is_wrong_usage(
    option: str, value: str, fault: str, run: FakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "in.mp4", "--style", "winter", f"--{option}", value]) == 2
    assert capsys.readouterr().err == f"error: --{option} {fault}\n"
    assert run.jobs == []


def test_frames_can_be_fitted_on_the_gpu(run: FakeRun) -> None:
    assert main(["run", "in.mp4", "--style", "winter", "--fit", "gpu"]) == 0
    assert run.jobs == [Run("in.mp4", "winter", fit="gpu")]


@pytest.mark.parametrize(
    ("option", "fault"),
    [
        ("--steady 0.5", "--fit gpu and --steady exclude each other: frames are steadied on the CPU"),
        ("--detail network", "--fit gpu applies the residual to the frame: --detail network needs --fit cpu"),
    ],
)
def test_what_needs_the_network_s_images_is_not_fitted_on_the_gpu(
    option: str, fault: str, run: FakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(f"run in.mp4 --style winter --fit gpu {option}".split()) == 2
    assert capsys.readouterr().err == f"error: {fault}\n"
    assert run.jobs == []


@pytest.mark.parametrize(
    "typed",
    ["", "rnu", "run", "run in.mp4", "run in.mp4 --style w --backend cuda", "run in.mp4 --style w --sise 3"],
)
def test_wrong_usage_exits_with_2(typed: str, run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(typed.split())
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "--help" in said.err
    assert run.jobs == []


@pytest.mark.parametrize(
    "error",
    [SourceError("cannot open in.mp4:\n  it is empty"), DamagedSource("cannot open in.mp4: it is empty")],
)
def test_a_fault_is_one_line_and_exit_1(
    error: SourceError, run: FakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run.error = error
    assert main(["run", "in.mp4", "out.mp4", "--style", "winter"]) == 1
    assert capsys.readouterr() == ("", "error: cannot open in.mp4: it is empty\n")


def test_a_bug_is_raised_with_its_traceback(run: FakeRun) -> None:
    run.error = ZeroDivisionError("ours")
    with pytest.raises(ZeroDivisionError, match="ours"):
        main(["run", "in.mp4", "out.mp4", "--style", "winter"])


@pytest.mark.parametrize(
    ("number", "word", "status"),
    [(number, word, 128 + number) for number, word in ENDINGS.items()],
    ids=[number.name for number in ENDINGS],
)
def test_a_signal_ends_the_run_with_its_status_and_says_what_is_left(
    number: int, word: str, status: int, run: FakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    run.kill = number
    run.stats = Stats(17, 1.0, stopped=True)
    assert main(["run", "in.mp4", "out.mp4", "--style", "winter"]) == status
    assert capsys.readouterr() == ("", f"warning: {word}: 17 frames are written to out.mp4\n")
    assert signal.getsignal(number) is before

    run.stats = Stats(0, 1.0, stopped=True)
    assert main(["run", "in.mp4", "out.mp4", "--style", "winter"]) == status
    assert capsys.readouterr() == ("", f"warning: {word}: nothing is written\n")


def test_a_second_signal_aborts_the_run(
    run: FakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def press_twice(job: Run, stop: Stop) -> Stats:
        press(signal.SIGTERM)
        press(signal.SIGINT)
        raise AssertionError("unreachable")

    monkeypatch.setattr(rt.job, "run_job", press_twice)
    assert main(["run", "in.mp4", "out.mp4", "--style", "winter"]) == 143
    assert (
        capsys.readouterr().err
        == "warning: terminated again: given up; unfinished files are removed, live recordings end here\n"
    )


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        (
            SourceError("cannot read pipe: nothing was written"),
            130,
            "warning: interrupted: nothing is written\n",
        ),
        (
            DamagedSource("in.mp4 ends early; 5 frames are written"),
            1,
            "error: in.mp4 ends early; 5 frames are written\n",
        ),
    ],
)
def test_a_source_that_gives_nothing_to_a_run_that_was_stopped_is_no_fault(
    run: FakeRun,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: SourceError,
    status: int,
    said: str,
) -> None:
    def fail(job: Run, stop: Stop) -> Stats:
        press(signal.SIGINT)
        raise fault

    monkeypatch.setattr(rt.job, "run_job", fail)
    assert main(["run", "pipe", "out.mp4", "--style", "winter"]) == status
    assert capsys.readouterr().err == said


def test_a_signal_behind_the_end_of_a_run_changes_nothing(
    run: FakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def press_late(job: Run, stop: Stop) -> Stats:
        press(signal.SIGINT)
        stop.settled = True
        press(signal.SIGINT)
        press(signal.SIGTERM)
        return Stats(17, 1.0, stopped=True)

    monkeypatch.setattr(rt.job, "run_job", press_late)
    assert main(["run", "in.mp4", "out.mp4", "--style", "winter"]) == 130
    assert capsys.readouterr().err == "warning: interrupted: 17 frames are written to out.mp4\n"


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_run_that_is_to_outlive_its_terminal_does(
    run: FakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def look(job: Run, stop: Stop) -> Stats:
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        return run.stats

    monkeypatch.setattr(rt.job, "run_job", look)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main(["run", "in.mp4", "out.mp4", "--style", "winter"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("typed", [["--view", "picture"], ["--view=picture"], ["--view", "image"]])
def test_a_view_of_0_1_is_read_under_todays_name(run: FakeRun, typed: list[str]) -> None:
    assert main(["run", "in.mp4", "out.mp4", "--style", "winter", *typed]) == 0
    assert [job.view for job in run.jobs] == ["image"]


def test_a_viewer_who_closes_the_window_is_no_fault(run: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run.stats = Stats(12, 1.0, stopped=True)
    assert main(["run", "in.mp4", "--style", "winter"]) == 0
    assert capsys.readouterr() == ("12 frames, 12.0 fps\n", "")


def test_a_warning_is_one_line(
    run: FakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warn(job: Run, stop: Stop) -> Stats:
        warnings.warn("the clip\n  has no audio", UserWarning, stacklevel=1)
        return run.stats

    monkeypatch.setattr(rt.job, "run_job", warn)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # put back at the end
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["run", "in.mp4", "out.mp4", "--style", "winter"]) == 0
    assert capsys.readouterr().err == "warning: the clip has no audio\n"


def test_styles_lists_every_style_and_names_the_damaged_ones(
    own_styles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, damaged = make_style(own_styles, "meadow"), make_style(own_styles, "torn")
    (damaged / "card.json").write_text("{")
    assert main(["styles"]) == 0
    said = capsys.readouterr()
    rows = {line.split()[0]: line for line in said.out.splitlines()}
    size_mb = sum(path.stat().st_size for path in whole.iterdir()) / 1e6
    facts = ("A style for tests called meadow", f"{size_mb:.1f} MB", "fp32", str(whole))
    assert rows["meadow"].split("  ")[0] == "meadow"
    assert all(fact in rows["meadow"] for fact in facts)
    assert re.split(r"\s{2,}", rows["torn"]) == ["torn", "(damaged)", "-", "-", str(damaged)]
    assert said.err.startswith(f"warning: card {damaged / 'card.json'} is damaged: not JSON")


def test_styles_name_shows_its_card(own_styles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_style(own_styles, "meadow")
    model = read_card(folder).models["fp32"]
    assert main(["styles", "meadow"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "meadow: A style for tests called meadow",
        f"folder: {folder}",
        "network image: short side 32 px, sides multiples of 4, at least 16",
        f"model fp32: model.onnx, {model.size_bytes / 1e6:.1f} MB, SHA-256 {model.sha256}",
        "recipe: cyclegan",
        "known faults:",
        "  - Made of random numbers.",
    ]


def test_an_unknown_style_is_named_with_the_nearest_one(
    own_styles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_style(own_styles, "meadow")
    assert main(["styles", "medow"]) == 1
    known = sorted(["meadow", *(folder.name for folder in GALLERY.iterdir() if folder.is_dir())])
    assert capsys.readouterr().err.startswith(
        f"error: no style 'medow'; did you mean 'meadow'?; known: {', '.join(known)};"
    )


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"videobrush (\d+\.\d+\.\d+\S*|\(not installed\))\n", capsys.readouterr().out)


@pytest.mark.slow
def test_bench_prints_a_table_and_its_figures_as_json_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    style = make_style(tmp_path)
    typed = ["bench", "--style", str(style), "--backend", "onnxruntime", "--seconds", "0.05"]
    typed += ["--size", "256"]  # a network that takes a while: a turn is half a second of it alone
    assert main(typed) == 0
    lines = capsys.readouterr().out.splitlines()
    found = json.loads(lines[-1])
    assert lines[0].startswith("style drawn, onnxruntime fp32 on CPU (")
    assert lines[1].startswith("network image 456x256, frames 640x360, ")
    assert lines[-2] == f"ratio           {found['pipeline_ratio']:.3f}"
    assert (found["benchmark"], found["style"], found["network_size"]) == ("speed", "drawn", [256, 456])
    assert min(found["network_fps"], found["pipeline_fps"], found["pipeline_ratio"]) > 0


@pytest.mark.parametrize(
    ("typed", "fault"),
    [
        ("bench --seconds 0", "--seconds is 0.0, not above 0"),
        ("bench steady", "bench steady needs a video file: videobrush bench steady CLIP"),
        ("bench speed clip.mp4", "bench speed draws its own frames: leave out clip.mp4"),
        ("bench --steady 0.5", "--steady belongs to bench steady CLIP"),
        ("bench steady clip.mp4 --steady 2", "--steady is 2.0, not within 0..1"),
    ],
)
def test_a_bench_that_makes_no_sense_is_wrong_usage(
    typed: str, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed.split()) == 2
    assert capsys.readouterr().err == f"error: {fault}\n"


def test_bench_steady_compares_a_clip_steadied_and_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    style = make_style(tmp_path)
    typed = ["bench", "steady", str(CLIP), "--style", str(style), "--seconds", "0.1", "--steady", "0.5"]
    assert main(typed) == 0
    lines = capsys.readouterr().out.splitlines()
    found = json.loads(lines[-1])
    assert lines[0] == f"style {style} on 3 frames of {CLIP}, steady off and 0.5"
    assert re.fullmatch(r"warping error cut by -?\d+%(, -?\d+% of .+)?; sharpness kept \d+%", lines[-2])
    assert (found["benchmark"], found["frames"], found["source"]["tof_px"]) == ("steady", 3, 0)
    assert found["off"] != found["on"]


def test_a_clip_too_short_to_measure_is_one_line_and_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["bench", "steady", str(CLIP), "--style", str(make_style(tmp_path)), "--seconds", "0.01"]
    assert main(typed) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {CLIP} cannot be measured: ")
