"""``python -m expandergraphs`` is the command line."""

from expandergraphs.cli import main

if __name__ == "__main__":
    main()
