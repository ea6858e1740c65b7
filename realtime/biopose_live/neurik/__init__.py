"""From virtual markers to joint angles and bone scales (paper section 3.3)."""
