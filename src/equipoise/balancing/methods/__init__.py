"""One file for each method. A new file with a registered `Balancer` is a new method."""
