"""Small things that every room may use: registry, options, texts, atomic files, errors. Standard library alone."""
