"""`python -m gateway` is the `portreeve` command."""

from gateway.cli.main import main

if __name__ == "__main__":
    main()
