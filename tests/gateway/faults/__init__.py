"""The whole gateway among faults, judged by an oracle: what was acknowledged is never lost."""
