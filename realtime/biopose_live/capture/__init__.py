"""Where frames come from: cameras, video files, network streams and FFmpeg's test sources, all through PyAV.

Every source answers `read(timeout)` with its newest frame (or, file by file, its next one) and the time the light was
caught; nothing here knows sockets, slots of the frame store or models.  Back-pressure: one thread decodes and keeps
one frame; a frame that nobody took before the next one came is counted as dropped.
"""
