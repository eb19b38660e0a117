"""`python -m scaling` is the same as `scaling`."""

from scaling.cli import main

if __name__ == "__main__":
    main()
