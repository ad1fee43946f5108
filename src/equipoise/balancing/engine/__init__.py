"""The engine: one backward step, its task gradients and the update."""
