"""The directory of what can be made again."""

import os
from pathlib import Path

import platformdirs


def cache_directory() -> Path:
    """Return the directory of what can be made again: `$EQUIPOISE_CACHE`, else the platform's."""
    configured = os.environ.get("EQUIPOISE_CACHE")
    return Path(configured) if configured else platformdirs.user_cache_path("equipoise")
