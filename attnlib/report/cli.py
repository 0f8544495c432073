"""The commands `python -m attnlib report` and `python -m attnlib docs`."""


def add_parser(subparsers):
    """Add the `report` command to an argparse parser.

    Args:
        subparsers: What `ArgumentParser.add_subparsers` returned.

    Returns:
        The new parser; its default `run` executes the command.
    """
    parser = subparsers.add_parser(
        "report",
        help="draw the report from existing records; runs no notebook",
        description="Draw reports/PROFILE/index.html from existing records.",
    )
    parser.add_argument(
        "--profile",
        help="smoke, quick or paper (default: ATTNLIB_PROFILE, else quick)",
    )
    parser.set_defaults(run=run)
    return parser


def run(args) -> int:
    """Draw the report and print its path.

    Args:
        args: The parsed argument `profile`.

    Returns:
        The exit status, 0.

    Raises:
        ValueError: There is no such profile.
        OSError: The report cannot be written.
    """
    from attnlib.report import build

    print(build(args.profile))
    return 0


def add_docs_parser(subparsers):
    """Add the `docs` command to an argparse parser.

    Args:
        subparsers: What `ArgumentParser.add_subparsers` returned.

    Returns:
        The new parser; its default `run` executes the command.
    """
    parser = subparsers.add_parser(
        "docs",
        help="draw the API reference from the docstrings",
        description="Draw reports/docs/index.html from the docstrings.",
    )
    parser.set_defaults(run=run_docs)
    return parser


def run_docs(args) -> int:
    """Draw the API reference and print its path.

    Args:
        args: The parsed arguments; none is used.

    Returns:
        The exit status, 0.

    Raises:
        OSError: The pages cannot be written.
    """
    from attnlib.report import reference

    print(reference.build())
    return 0
