"""One log line for each step in a file's life, made to be read by people and by programs.

    released id=... camera=cam01 name=x.fits size=33557760 hash=9f86... seconds=0.412

The steps are received, committed, announced, forwarded, verified, released, and for what does not
go straight: refused, interrupted, quarantined, held, renamed, duplicate, dead, retried, discarded.
"""

from __future__ import annotations

import logging

logger = logging.getLogger("tosip.gateway.files")


def tell(step: str, **facts: object) -> None:
    """Log a step; times end in `seconds`, sizes are in bytes, texts with blanks are quoted."""
    if logger.isEnabledFor(logging.INFO):
        words = (f"{name}={_shown(value)}" for name, value in facts.items())
        logger.info("%s %s", step, " ".join(words), extra={"step": step, "facts": facts})


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)
    plain = text.isprintable() and text and not set(text) & set(' "=\\')
    return text if plain else '"' + text.encode("unicode_escape").decode().replace('"', '\\"') + '"'
