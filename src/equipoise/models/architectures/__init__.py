"""Multi-task architectures; one file or folder each, with the blocks that it uses."""
