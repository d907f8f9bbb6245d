"""Declarations become EPICS records; the only importer of softioc."""
