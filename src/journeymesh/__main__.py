"""``python -m journeymesh``: the command line."""

from journeymesh.cli.main import run

if __name__ == "__main__":
    run()
