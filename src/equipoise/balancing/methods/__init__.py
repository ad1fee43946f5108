"""One file a method. A new file with a `Balancer` that has a `record` is a new method; nothing else needs an edit."""
