"""Tells Ray that this machine is to go, so that its trials move to other nodes before it does.

``drain_node.py`` does so at once, for the hook of a container that is to end. ``drain_node.py --spot`` waits for the
notice that EC2 gives a spot instance two minutes before it is taken, and does it then. It runs on the machine that is
to go.
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

#: The service of EC2 that an instance asks about itself.
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
    """Waits until EC2 says that this instance is to go, and returns what it is to do: stop, terminate or hibernate."""
    while True:
        with contextlib.suppress(urllib.error.URLError, TimeoutError, ValueError):
            request = urllib.request.Request(
                f"{metadata}/latest/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}
            )
            with urllib.request.urlopen(request, timeout=2) as answer:
                headers = {"X-aws-ec2-metadata-token": answer.read().decode()}
            request = urllib.request.Request(f"{metadata}/latest/meta-data/spot/instance-action", headers=headers)
            with urllib.request.urlopen(request, timeout=2) as answer:  # 404 as long as nothing is planned
                return str(json.loads(answer.read())["action"])
        time.sleep(pause_s)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spot", action="store_true", help="wait for the notice of a spot instance of EC2 first")
    parser.add_argument("--deadline", type=float, default=60.0, help="seconds until the machine goes (default 60)")
    parser.add_argument("--stay", type=float, default=0.0, help="seconds to stay afterwards, so that trials can move")
    parser.add_argument("--metadata", default=METADATA, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    reason = "this machine is to go"
    if options.spot:
        reason = f"EC2 is going to {wait_for_notice(options.metadata)} this instance"
    drain_this_node(options.deadline, reason)
    time.sleep(options.stay)


if __name__ == "__main__":
    main()
