"""Reading of single files, and stores for what has been decoded."""
