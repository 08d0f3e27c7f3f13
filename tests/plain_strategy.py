"""A strategy bar by bar in plain Python, without the compiler."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np

PLAIN = """
import hashlib, json, sys
import numpy as np
from cryptoquantix.core.market import Bar
from cryptoquantix.kernel import is_compiled
from cryptoquantix.strategies import trend_breakout as strategy
assert not is_compiled()
columns = np.load(sys.argv[1], allow_pickle=False)
params = strategy.parse_params(json.loads(sys.argv[2]))
state, targets = strategy.start(params), []
names = Bar._fields
rows = zip(*(columns[name].tolist() for name in names), strict=True)
for row in rows:
    state, target = strategy.step(state, Bar(*row), params)
    targets.append(float(target))
print(hashlib.sha256(np.array(targets).tobytes()).hexdigest())
"""


def plain_digest(history, values, tmp_path) -> str:
    """Targets of the same module run as plain Python, in a process of its own."""
    file = tmp_path / "bars.npz"
    np.savez(file, **history._asdict())
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, str(file), json.dumps(values)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
