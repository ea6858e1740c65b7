"""What is not science: processes, sockets, the frame ring, clocks and metrics."""
