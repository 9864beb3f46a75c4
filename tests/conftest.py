"""What holds for every test: one thread and passive waiting (on a busy machine two spinning threads are slower than
one), no hub, no GPU, no wait for the disk, and no clock in Hypothesis's judgement of a test.

The values that are asserted, and the sampled groups that have a spread, are those of the CPU. With ATOMMEM_GPU=1 the
tests run on the GPU that is there.
"""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
if os.environ.get("ATOMMEM_GPU") != "1":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.fsync = lambda _: None  # no test cuts the power
settings.register_profile("anywhere", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("anywhere")


@pytest.fixture(autouse=True, scope="module")
def _quick_collections() -> None:
    """What libraries and earlier files keep is not looked through by each collection of garbage: up to a second."""
    gc.collect()
    gc.freeze()
