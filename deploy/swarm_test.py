#!/usr/bin/env python3
"""
Build the image, deploy the stack on a one-node Swarm, kill a feed, watch the rest.

Asserts that after a SIGKILL of one venue's feed (1) Swarm brings it back and it
publishes again, (2) the other venues' feeds publish meanwhile and no other service was
restarted, (3) the risk daemon's samples, in its own volume, have no missing second, (4)
`cqx status` in execution's container sees all three feeds, the strategies, execution
and the recorder. Leaves the engine as it found it.
Prints the reason and exits 0 where there is no Docker engine.
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STACK = "cqx-swarm-test"
IMAGE = "cryptoquantix:swarm-test"
VENUES = ("binance", "bybit", "deribit")
FEEDS = tuple(f"feed-{venue}" for venue in VENUES)
KILLED = FEEDS[0]
SERVICES = (
    *("nats", "simulator", *FEEDS, "strategy", "execution"),
    *("recorder", "risk", "alarms"),
)
DEPLOY_SECONDS = 120
RETURN_SECONDS = 60

# Runs inside a container: waits for the first tick of a venue.
LISTEN = """
import asyncio, nats
async def main():
    connection = await nats.connect("nats://nats:4222", connect_timeout=5)
    subscription = await connection.subscribe("ticks.%s.>")
    await subscription.next_msg(timeout=30)
    await connection.close()
asyncio.run(main())
"""

# Runs inside the risk container: the samples in the daemon's store, by its API.
SAMPLES = """
import json, urllib.request, tomllib
settings = tomllib.load(open("/run/secrets/cryptoquantix.toml", "rb"))
request = urllib.request.Request(
    "http://127.0.0.1:8700/v1/samples?after_ns=%d&limit=10000",
    headers={"Authorization": "Bearer " + settings["risk"]["token"]})
print(json.dumps(json.load(urllib.request.urlopen(request, timeout=5))["samples"]))
"""


def docker(*arguments, check=True, timeout=60):
    """Return what a docker command prints."""
    command = ["docker", *arguments]
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False
    )
    if check and run.returncode:
        said = run.stderr.strip() or run.stdout.strip()[-2000:]
        raise SystemExit(f"docker {' '.join(arguments[:3])} failed: {said}")
    return run.stdout.strip()


def skip(reason):
    """Say why nothing was tested."""
    print(f"swarm-test: skipped: {reason}")
    raise SystemExit(0)


def container(service):
    """Return the running container of a service, or an empty string."""
    label = f"label=com.docker.swarm.service.name={STACK}_{service}"
    return docker("ps", "-q", "--no-trunc", "--filter", label).partition("\n")[0]


def until(what, seconds, question):
    """Wait until ``question()`` is true; end with a sentence when it never is."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        if time.monotonic() > deadline:
            raise SystemExit(f"swarm-test: FAILED: {what} not within {seconds} s")
        time.sleep(0.5)
    return answer


def inside(service, code, *, timeout=40):
    """Run Python inside a service's container; return its output, None if it failed."""
    name = container(service)
    if not name:
        return None
    command = ["docker", "exec", name, "python", "-c", code]
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False
    )
    return run.stdout if run.returncode == 0 else None


def publishes(venue):
    """Return whether a tick of a venue arrives at the bus within half a minute."""
    return inside("strategy", LISTEN % venue) is not None


def status():
    """Return what `cqx status` says where both the bus and the daemon are heard."""
    name = container("execution")
    command = ["docker", "exec", name, "cqx", "status", "--json"]
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False
    )
    return json.loads(run.stdout) if run.stdout.startswith("{") else {}


def is_all_seen():
    """Return whether every row of the status is there, and well."""
    value = status()
    rows = [*value.get("feeds", ()), *value.get("strategies", ())]
    rows += [value.get("execution") or {}, value.get("recorder") or {}]
    is_whole = len(rows) == 2 * len(VENUES) + 2
    return is_whole and not any(row.get("problem", "absent") for row in rows)


def samples(after_ns):
    """Return the daemon's samples taken after a time."""
    text = inside("risk", SAMPLES % after_ns)
    return json.loads(text) if text else []


def missing_seconds(rows):
    """Return how many one-second steps a sample series left out, and its longest."""
    times = [row["time_ns"] for row in rows]
    steps = [(b - a) / 1e9 for a, b in itertools.pairwise(times)]
    missing = sum(round(step) - 1 for step in steps if step >= 1.5)
    return missing, max(steps, default=0.0)


def kill_a_feed():
    """Kill one feed's container and assert what must hold."""
    before = {service: container(service) for service in SERVICES}
    start_ns = time.time_ns()
    killed = time.monotonic()
    docker("kill", "--signal", "KILL", before[KILLED])
    for venue in VENUES[1:]:
        until(f"{venue} was fed on", 5, lambda v=venue: publishes(v))
    until(
        "a new feed container was running",
        RETURN_SECONDS,
        lambda: container(KILLED) not in {"", before[KILLED]},
    )
    back = time.monotonic() - killed
    until("the feed published again", RETURN_SECONDS, lambda: publishes(VENUES[0]))
    published = time.monotonic() - killed
    time.sleep(5)
    after = {service: container(service) for service in SERVICES}
    others = [s for s in SERVICES if s != KILLED and before[s] != after[s]]
    rows = samples(start_ns - 5_000_000_000)
    missing, longest = missing_seconds(rows)
    print(
        f"swarm-test: {KILLED} killed; container back after {back:.1f} s, publishing "
        f"after {published:.1f} s; other services restarted: {others or 'none'}; "
        f"risk samples: {len(rows)}, missing seconds: {missing}, "
        f"longest step {longest:.2f} s"
    )
    if others or missing or len(rows) < 8:
        raise SystemExit("swarm-test: FAILED")


def logs():
    """Print the end of every service's log, for whoever must find out why."""
    for service in SERVICES:
        name = f"{STACK}_{service}"
        command = ["docker", "service", "logs", "--tail", "15", name]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        text = run.stdout + run.stderr
        tasks = docker("service", "ps", "--no-trunc", name, check=False)
        print(f"--- {service}\n{tasks}\n{text}")


def require_an_engine():
    """End with a printed reason where there is nothing to test with."""
    if shutil.which("docker") is None:
        skip("no docker command on this machine")
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        skip("no Docker engine answers (start dockerd first)")


def deploy_and_kill(secrets):
    """Deploy the stack with fresh keys, wait for its life, and kill a feed."""
    run = [sys.executable, str(ROOT / "deploy" / "prepare.py"), secrets]
    subprocess.run(run, check=True)
    environment = os.environ | {
        "CQX_IMAGE": IMAGE,
        "CQX_SECRETS": secrets,
        "CQX_RECORDER": "1",
    }
    stack = str(ROOT / "deploy" / "stack.yml")
    run = ["docker", "stack", "deploy", "-c", stack, STACK]
    subprocess.run(run, env=environment, check=True)
    for service in SERVICES:
        until(f"{service} was running", DEPLOY_SECONDS, lambda s=service: container(s))
    for venue in VENUES:
        until(f"{venue} was fed", DEPLOY_SECONDS, lambda v=venue: publishes(v))
    until("the risk daemon sampled", DEPLOY_SECONDS, lambda: len(samples(0)) >= 6)
    until("cqx status saw all of it", DEPLOY_SECONDS, is_all_seen)
    kill_a_feed()


def remove():
    """Take the stack and its volumes away."""
    docker("stack", "rm", STACK, check=False)
    until("the stack was gone", 60, lambda: not any(map(container, SERVICES)))
    for volume in docker("volume", "ls", "-q", check=False).split():
        if volume.startswith(f"{STACK}_"):
            docker("volume", "rm", "--force", volume, check=False)


def main():
    """Build, deploy, kill, assert, clean up."""
    require_an_engine()
    was_active = docker("info", "--format", "{{.Swarm.LocalNodeState}}") == "active"
    docker("build", "--network", "host", "-t", IMAGE, str(ROOT), timeout=900)
    if not was_active:
        docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    try:
        with tempfile.TemporaryDirectory() as secrets:
            deploy_and_kill(secrets)
    except SystemExit:
        logs()
        raise
    finally:
        remove()
        if not was_active:
            docker("swarm", "leave", "--force", check=False)
    print("swarm-test: passed")


if __name__ == "__main__":
    main()
