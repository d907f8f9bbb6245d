"""What several folders of tests share."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def focus_sweep() -> list[Path]:
    """The 17 frames of a real focus sweep."""
    frames = sorted((DATA / "focus_sweep").glob("*.gz"))
    if not frames:
        pytest.skip("the real frames are not here: ../shared/data/focus_sweep")
    return frames
