"""``python -m autograder`` is the program ``servemath``."""

from autograder.cli import main

if __name__ == "__main__":
    main()
