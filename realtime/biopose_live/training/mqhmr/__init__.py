"""Trains MQ-HMR's image network (paper section 3.2) on datasets that the user has."""
