"""Trials on the nodes of a Ray cluster, whose number of devices can change while they run."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from syne_hypersched import checks
from syne_hypersched._extras import needs_extra
from syne_hypersched.backends.local import ElasticLocalBackend, LaunchMode, Processes, modules_to_preload
from syne_hypersched.backends.machine.discovery import Devices
from syne_hypersched.backends.ray._cluster import Cluster
from syne_hypersched.backends.ray._launcher import ClusterLauncher
from syne_hypersched.backends.ray._parts import ClusterSpec, node_of
from syne_hypersched.backends.shared.devices import DevicePool

logger = logging.getLogger(__name__)
