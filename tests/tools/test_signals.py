from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.support.cli import ROOT

CHILD = "import signal; print(signal.getsignal(signal.{name}) is signal.SIG_IGN)"
PROGRAM = """
import os, signal, subprocess, sys
signal.signal(signal.{name}, signal.SIG_IGN)
from tests.support.signals import stop_passing_on
if sys.argv[1] == "with":
    stop_passing_on()
os.kill(os.getpid(), signal.{name})
print(subprocess.run([sys.executable, "-c", {child!r}], capture_output=True, text=True).stdout.strip())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT"])
@pytest.mark.parametrize(("how", "ignored"), [("with", "False"), ("without", "True")])
def test_children_of_tests_do_not_ignore_what_our_parent_ignores(name: str, how: str, ignored: str) -> None:
    program = PROGRAM.format(name=name, child=CHILD.format(name=name))
    said = subprocess.run(
        [sys.executable, "-c", program, how], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == ignored
