"""People in the picture: MediaPipe's pose landmarks, and who is who from frame to frame.  Knows no pipeline."""
