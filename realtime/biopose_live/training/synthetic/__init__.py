"""Synthetic people: a software renderer, dressed parametric bodies, generated rooms, and what is rendered from them."""
