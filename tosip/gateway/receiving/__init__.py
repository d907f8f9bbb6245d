"""One upload: a data connection, the checks on what comes, the way to the spool."""
