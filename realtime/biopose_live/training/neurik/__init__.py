"""Training NeurIK: motion, what a camera makes of it, labels, the training loop (paper sections 3.3 and 4.1)."""
