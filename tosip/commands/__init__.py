"""What the `tosip` command does, one module for each of its commands."""
