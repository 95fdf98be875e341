"""`python -m gdjax`: the command `gdjax`."""

from gdjax.cli.main import main

if __name__ == "__main__":
    main()
