"""`python -m imgtools`, and the installed `imgtools`."""

import sys

from imgtools.cli.program import main

if __name__ == "__main__":
    sys.exit(main())
