"""`python -m videobrush` is the command `videobrush`, also beside a file called rt.py."""

import sys

from ._runtime import runtime

if __name__ == "__main__":
    sys.exit(runtime("cli").main())
