"""A plant for each test."""

import pytest

from tests.gateway.faults.plant import Plant


@pytest.fixture
def plant(tmp_path):
    """Nothing runs in it yet."""
    with Plant(tmp_path / "plant") as plant:
        yield plant


@pytest.fixture
def running(plant):
    """Archive and gateway run."""
    plant.start_archive()
    plant.start_gateway()
    return plant
