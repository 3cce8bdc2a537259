"""``python -m symtensor``: see `symtensor.cli`."""

import sys

from symtensor.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
