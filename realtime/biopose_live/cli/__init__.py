"""The command line: biopose-live and its doctor."""
