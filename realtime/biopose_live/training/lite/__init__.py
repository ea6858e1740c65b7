"""Training of the light image network (`mqhmr.lite`) on rendered people."""
