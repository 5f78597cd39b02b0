"""Tells Ray that this machine will be removed, so that its trials move to other nodes before.

``drain_node.py`` tells Ray at once: use it in the hook of a container that will end. ``drain_node.py --spot`` first
waits for the notice of EC2, which comes two minutes before a spot instance is taken away. The program runs on the
machine that will be removed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

#: EC2's service that tells an instance about itself.
METADATA = "http://169.254.169.254"


def drain_this_node(deadline_s: float, reason: str) -> None:
    """Asks Ray to drain the node of this machine."""
    import ray

    ray.init(address="auto", log_to_driver=False, configure_logging=False)
    context = ray.get_runtime_context()
    node_id, address = context.get_node_id(), context.gcs_address
    ray.shutdown()
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", address, "--node-id", node_id,
        "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", reason,
        "--deadline-remaining-seconds", str(int(deadline_s)),
    ]  # fmt: skip
    subprocess.run(command, check=True, timeout=60)


def wait_for_notice(metadata: str, pause_s: float = 5.0) -> str:
    """Waits for EC2's notice that this instance will be removed; returns its action: stop, terminate or hibernate."""
    while True:
        with contextlib.suppress(urllib.error.URLError, TimeoutError, ValueError):
            request = urllib.request.Request(
                f"{metadata}/latest/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}
            )
            with urllib.request.urlopen(request, timeout=2) as answer:
                headers = {"X-aws-ec2-metadata-token": answer.read().decode()}
            request = urllib.request.Request(f"{metadata}/latest/meta-data/spot/instance-action", headers=headers)
            with urllib.request.urlopen(request, timeout=2) as answer:  # 404 while no action is planned
                return str(json.loads(answer.read())["action"])
        time.sleep(pause_s)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spot", action="store_true", help="first wait for the notice of EC2 for a spot instance")
    parser.add_argument(
        "--deadline", type=float, default=60.0, help="seconds until the machine is removed (default 60)"
    )
    parser.add_argument("--stay", type=float, default=0.0, help="seconds to wait afterwards, so that trials can move")
    parser.add_argument("--metadata", default=METADATA, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    reason = "this machine is to go"
    if options.spot:
        reason = f"EC2 will {wait_for_notice(options.metadata)} this instance"
    drain_this_node(options.deadline, reason)
    time.sleep(options.stay)


if __name__ == "__main__":
    main()
