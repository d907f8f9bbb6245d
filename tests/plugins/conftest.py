from pathlib import Path

import pytest

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real frames."""
    if not DATA.is_dir():
        pytest.skip("the real frames are not here: ../shared/data")
    return DATA
