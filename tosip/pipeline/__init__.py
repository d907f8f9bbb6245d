"""Frames and how they move: NDArray, shared memory, ports, queues, plugins, workers."""
