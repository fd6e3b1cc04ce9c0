"""`python -m engines`: the command `videobrush-engines` without installing it."""

import sys

from engines.cli import main

if __name__ == "__main__":
    sys.exit(main())
