"""``python -m ppl_models`` is the command line."""

import sys

from ppl_models.cli import main

if __name__ == "__main__":
    sys.exit(main())
