"""`python -m synthgen.cli`."""

from synthgen.cli.commands import main

if __name__ == "__main__":
    main()
