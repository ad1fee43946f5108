"""Multi-task architectures: one file each, known by the name of its file."""
