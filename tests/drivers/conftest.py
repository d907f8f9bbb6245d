from pathlib import Path

import pytest

_DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def real_frames() -> Path:
    """The folder of real frames beside the project, which is not part of it."""
    if not _DATA.is_dir():
        pytest.skip("the real frames (../shared/data from the project's root) are not here")
    return _DATA
