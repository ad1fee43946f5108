"""Making the planned runs of a study, on this machine or on a cluster."""
