"""Configurations, screens and documentation that people copy: links into the repository."""
