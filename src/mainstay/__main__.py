"""Run the command line: `python -m mainstay`."""

from mainstay.cli.main import run

if __name__ == "__main__":
    run()
