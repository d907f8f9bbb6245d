"""Database templates: records that need no Python object, because they are fixed or derived."""
