"""Every process of one installation reports the same build."""

import subprocess
import sys

from cryptoquantix.control.build import build_stamp


def test_two_processes_of_one_installation_agree_on_their_build():
    code = "from cryptoquantix.control.build import build_stamp; print(build_stamp())"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    version, plus, digest = build_stamp().partition("+")
    assert version
    assert plus
    assert len(digest) == 12
    assert printed.startswith(version)
    assert len(printed) == len(build_stamp())
