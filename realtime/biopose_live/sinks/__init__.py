"""Where results go, one file per output: publish (ZeroMQ), record (a folder), viewer (browsers)."""
