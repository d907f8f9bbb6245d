"""What is on disk: acknowledged files, partials, the quarantine, and the journal of them."""
