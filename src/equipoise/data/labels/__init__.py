"""What labels stand for, how they are written, and those that are drawn from others."""
