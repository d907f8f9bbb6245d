"""Tests of the FTP gateway."""
