"""The report: executed notebooks and recorded results as offline HTML.

`build` draws it. `run_job` and `jobs` run the notebooks; they are loaded by
file path, so that running them imports no backend here.
"""

__all__ = ["build"]


def __getattr__(name):
    # Lazily, since the pages need nbconvert and the jobs do not.
    if name == "build":
        from attnlib.report.pages import build

        return build
    raise AttributeError(f"module 'attnlib.report' has no attribute {name!r}")
