"""Declarations become Phoebus screens; the only importer of pvi."""
