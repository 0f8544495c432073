"""The command `python -m attnlib datasets`."""

from attnlib import datasets
from attnlib.datasets import registry, store


def add_parser(subparsers):
    """Add the `datasets` command to an argparse parser.

    Args:
        subparsers: What `ArgumentParser.add_subparsers` returned.

    Returns:
        The new parser; its default `run` executes the command.
    """
    parser = subparsers.add_parser(
        "datasets",
        help="list, download or check data sets",
        description="List, download or check data sets. Files are looked for "
        "in $ATTNLIB_DATA/<name>/, then in the cache.",
    )
    parser.set_defaults(run=run_list)
    actions = parser.add_subparsers(metavar="{list,fetch,verify}")
    listing = actions.add_parser("list", help="what there is, and where")
    listing.set_defaults(run=run_list)
    fetching = actions.add_parser("fetch", help="download a data set")
    fetching.add_argument("name", help="name of the data set")
    fetching.set_defaults(run=run_fetch)
    checking = actions.add_parser("verify", help="compare checksums")
    checking.add_argument(
        "name", nargs="?", help="name of the data set (default: all)"
    )
    checking.set_defaults(run=run_verify)
    return parser


def _place(dataset) -> str:
    """Say where a data set is, for the table."""
    if dataset.embedded:
        return "embedded"
    if dataset.folders:
        if store.missing_folders(dataset):
            return "absent"
        return f"present in {store.user_folder(dataset)}"
    files = store.status(dataset, check=False)
    if any(found.state == "corrupt" for found in files):
        return "corrupt (see verify)"
    here = [found for found in files if found.state == "present"]
    if not here:
        return "absent"
    if len(here) < len(files):
        return f"{len(here)} of {len(files)} files"
    folders = sorted({str(found.path.parent) for found in here})
    return f"present in {', '.join(folders)}"


def run_list(args) -> int:
    """Print a table of all data sets.

    Args:
        args: The parsed arguments; none are used.

    Returns:
        Exit status 0.
    """
    rows = [("name", "size", "where", "licence")]
    for name in datasets.available():
        dataset = registry.get(name)
        size = store.megabytes(dataset.size) if dataset.files else "-"
        rows.append((name, size, _place(dataset), dataset.licence))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        print("  ".join(cell.ljust(width) for cell, width in cells).rstrip())
    return 0


def run_fetch(args) -> int:
    """Download the files of one data set, unless they are here already.

    Args:
        args: The parsed argument `name`.

    Returns:
        Exit status 0; a failure is an exception.
    """
    dataset = registry.get(args.name)
    if dataset.embedded:
        print(f"{args.name} is embedded: there is nothing to fetch")
        return 0
    size = f"{store.megabytes(dataset.size)}, " if dataset.files else ""
    print(f"{args.name}: {size}licence: {dataset.licence}")
    for path in datasets.fetch(args.name):
        print(path)
    return 0


def run_verify(args) -> int:
    """Compare the local files with the published checksums.

    Args:
        args: The parsed argument `name`, None for all data sets.

    Returns:
        Exit status: 1 when a file is corrupt, else 0. An absent file is no
        failure.
    """
    found = datasets.verify(args.name)
    for row in found:
        problem = f": {row['problem']}" if row["problem"] else ""
        print(f"{row['state']:<8} {row['path']}{problem}")
    if not found:
        what = "is embedded"
        if not registry.get(args.name).embedded:
            what = "has no checksums"
        print(f"{args.name} {what}: there is nothing to verify")
    corrupt = sum(row["state"] == "corrupt" for row in found)
    if corrupt:
        print(f"{corrupt} corrupt; replace or remove what is named above")
    return 1 if corrupt else 0
