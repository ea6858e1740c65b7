"""`python -m biopose_live.cli` is `biopose-live`."""

import sys

from biopose_live.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
