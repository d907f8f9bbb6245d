"""Names on the archive: temporary ones, final ones, and who of us has chosen which."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import PurePosixPath

LONGEST_COMPONENT = 255
# The last resort, when even the names with our id are taken by something else.
MOST_NAMES = 5


def temporary_name(final: PurePosixPath, file_id: str, number: int) -> PurePosixPath:
    """Return a name beside the final one that tells whose it is and that it is not complete."""
    tag = f"{file_id}-{number}" if number else file_id
    whole = f".{final.name}.{tag}.part"
    return final.with_name(whole if _fits(whole) else f".{tag}.part")


def final_names(final: PurePosixPath, file_id: str) -> Iterator[PurePosixPath]:
    """Give the name as it came, then `name~<id>`, then more of these."""
    yield final
    yield final.with_name(_unique(final, file_id))
    for number in range(2, MOST_NAMES):
        yield final.with_name(_unique(final, f"{file_id}-{number}"))


def _unique(final: PurePosixPath, tag: str) -> str:
    # The suffix stays last, so that it still tells what the file is.
    whole = f"{final.stem}~{tag}{final.suffix}"
    return whole if _fits(whole) else f"~{tag}{final.suffix[:20]}"


def _fits(name: str) -> bool:
    return len(name.encode("utf-8", "surrogateescape")) <= LONGEST_COMPONENT


def _folded(name: str) -> str:
    """Return what is the same for names that some file system takes for one.

    Archives on Windows, macOS or SMB shares fold case, forms of one letter and dots at the end.
    """
    plain = unicodedata.normalize("NFD", name).casefold()
    return "/".join(part.rstrip(". ") for part in plain.split("/"))


class Claims:
    """Final names that deliveries under way have chosen, so that no two choose the same."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}

    def take(self, name: str, file_id: str) -> bool:
        """Claim a name; False if another delivery has it, or one that may be the same there."""
        return self._owners.setdefault(_folded(name), file_id) == file_id

    def give_back(self, name: str, file_id: str) -> None:
        """Give up a name; that it was not ours is no error."""
        if self._owners.get(_folded(name)) == file_id:
            del self._owners[_folded(name)]
