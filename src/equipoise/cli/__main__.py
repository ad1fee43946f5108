"""Lets `python -m equipoise.cli` do what `equipoise` does."""

from equipoise.cli import main

main()
