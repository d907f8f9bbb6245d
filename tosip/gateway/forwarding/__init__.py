"""From the spool to the archive: conversation, verification, back-off, dead letters."""
