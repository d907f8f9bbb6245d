"""IOCs: assembly of the parts, nothing else."""
