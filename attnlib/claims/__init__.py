"""What the papers claim, what was measured here, and the verdicts.

`claims.toml` lists every number and ordering. A notebook calls `begin` once
and `record` for each result; `compare` pools the seeds and gives verdicts, and
`not_run.toml` says why a claim has none.
"""

from attnlib.claims.reasons import CAUSES
from attnlib.claims.records import RESULT_SCHEMA, begin, record
from attnlib.claims.registry import Claim, find, load_claims
from attnlib.claims.verdicts import VERDICTS, compare, humanise, verdict

__all__ = [
    "CAUSES",
    "RESULT_SCHEMA",
    "VERDICTS",
    "Claim",
    "begin",
    "compare",
    "find",
    "humanise",
    "load_claims",
    "record",
    "verdict",
]
