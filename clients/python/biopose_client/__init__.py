"""Reads biopose-live's public ZeroMQ stream.  Needs pyzmq and msgspec only."""
