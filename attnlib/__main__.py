"""The command line: `python -m attnlib datasets|claims|report|docs`."""

import argparse
import sys

from attnlib.claims import cli as claims
from attnlib.datasets import cli as datasets
from attnlib.report import cli as report


def main(arguments=None) -> int:
    """Run one command.

    Args:
        arguments: List of str; None for the process' own.

    Returns:
        The exit status: 0, or 1 after an error that was printed.
    """
    parser = argparse.ArgumentParser(
        prog="python -m attnlib",
        description="Attention models before Transformers: data sets, what "
        "the papers claim, and the report that sets ours beside it.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for module in (datasets, claims, report):
        module.add_parser(commands)
    report.add_docs_parser(commands)
    options = parser.parse_args(arguments)
    try:
        return options.run(options) or 0
    except BrokenPipeError:
        # The reader, `head` for example, has seen enough.
        sys.stderr.close()
        return 0
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
