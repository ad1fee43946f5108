"""Where decoded files are kept."""
