"""A network of its own for each module."""

import pytest

from tests.images.rig import Shared
from tosip.testing.ioc import own_network


@pytest.fixture(autouse=True, scope="module")
def network():
    """Let servers and clients of these tests meet nobody else."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own_network().items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def shared(network):
    """A server that the tests of a module share, each with a port of its own."""
    shared = Shared(20)
    yield shared
    shared.close()
