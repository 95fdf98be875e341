"""`python -m gdjax`: the command `gdjax`."""

from gdjax.lifeline import hold_lifeline

hold_lifeline()  # before the imports, which take seconds

from gdjax.cli.main import main  # noqa: E402

if __name__ == "__main__":
    main()
