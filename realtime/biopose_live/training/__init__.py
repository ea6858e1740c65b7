"""Makes what ships: the body file, motion data and weights.  Never imported by the live pipeline."""
