"""Algorithms that ship with TOSIP, one file each."""
