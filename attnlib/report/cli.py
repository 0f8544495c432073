"""The command `python -m attnlib report`."""


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
