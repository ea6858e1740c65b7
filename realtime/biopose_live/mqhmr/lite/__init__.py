"""MQ-HMR's light form for two CPU cores: dense anatomical points and a corrected pose from frozen feature maps."""
