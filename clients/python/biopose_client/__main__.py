"""`python -m biopose_client [ADDRESS]`: the stream as a live table of joint angles."""

import sys

from .table import main

sys.exit(main())
