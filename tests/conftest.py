"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest
import torch

# One thread, in the processes that tests start too: sums depend on the number of threads in their last bits, and
# several processes with several threads each would only fight over the cores.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared reference data: $EQUIPOISE_SHARED, or `shared` next to the repository's root."""
    configured = os.environ.get("EQUIPOISE_SHARED")
    folder = Path(configured) if configured else Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"no shared reference data at {folder}; set EQUIPOISE_SHARED to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def rooms(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A small dataset of generated rooms, made once for all worker processes: 3 scenes of 6 scans at 32x32."""
    from equipoise.data.rooms import generate

    base = tmp_path_factory.getbasetemp()
    # Workers have a directory each below a common one; `generate` lets one of them work and the others wait.
    return generate((base if worker_id == "master" else base.parent) / "rooms", scenes=3, scans=6, size=32)
