"""What the tests of the report put into it."""

import base64
import io
import json
from pathlib import Path

import matplotlib
import nbformat
from matplotlib.figure import Figure
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)

ROOT = Path(__file__).resolve().parents[2]

FORMULAS = r"""## Formulas

Additive attention with $s_{i-1}$, and `code` with a $\tilde{h}_j$:

$$\alpha_{ij} = \frac{\exp(e_{ij})}{\sum_{k=1}^{T_x} \exp(e_{ik})},
\qquad e_{ij} = v_a^\top \tanh\left(W_a s_{i-1} + U_a h_j\right)$$

\begin{align}
\nabla_\theta J &\approx \frac1M \sum_{m=1}^M \sum_{t=1}^T
\nabla_\theta \log \pi(\ell_t \mid s_{1:t}; \theta)\,(R - b_t) \\
\begin{pmatrix} x \\ y \end{pmatrix} &=
\begin{bmatrix} \theta_{11} & \theta_{12} & \theta_{13} \\
\theta_{21} & \theta_{22} & \theta_{23} \end{bmatrix}
\begin{pmatrix} x' \\ y' \\ 1 \end{pmatrix}
\end{align}

| a | wide | table | of | many | columns | that | a | phone | scrolls |
|---|---|---|---|---|---|---|---|---|---|
| 1.00000 | 2.00000 | 3.00000 | 4.00000 | 5.00000 | 6.0 | 7.0 | 8.0 | 9.0 | 10 |
"""

DANGEROUS = """
<link rel="stylesheet" href="https://example.org/font-awesome.css">
<style>@import url(https://example.org/a.css); b {background: url(//e.org/x)}
</style>
<script src="https://example.org/require.js"></script>
<script>window.inlineRan = true;</script>
<iframe src="https://example.org/frame"></iframe>
<img src="https://example.org/p.png" alt="a remote picture">
<p style="background: url('https://example.org/y.png')">kept text</p>
"""


def png(title="Loss falls") -> str:
    """Return a small figure as base64."""
    with matplotlib.rc_context({"figure.facecolor": "white"}):
        figure = Figure(figsize=(6, 3))
        axes = figure.subplots()
        axes.plot([3, 2, 1.5, 1.2])
        axes.set(title=title, xlabel="epoch", ylabel="loss")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()


def sample_notebook():
    """Return an executed notebook with one of everything."""
    widget = {
        "application/vnd.jupyter.widget-view+json": {"model_id": "m"},
        "text/plain": "VBox(children=(IntSlider(),))",
    }
    html_picture = f'<img src="data:image/png;base64,{png("Path")}">'
    outputs = [
        new_output("stream", name="stdout", text="digits28, jax, cpu\n"),
        new_output("stream", name="stderr", text="a <warning> & more\n"),
        new_output("display_data", {"image/png": png()}),
        new_output("display_data", {"text/html": html_picture}),
        new_output("display_data", {"text/html": DANGEROUS}),
        new_output("display_data", {"text/latex": r"$\beta^2$"}),
        new_output("display_data", widget),
        new_output(
            "execute_result",
            {"text/html": "<table><tr><td>the result of a cell</td></tr>"},
        ),
        new_output(
            "display_data", {"application/javascript": "require(['x'])"}
        ),
    ]
    return new_notebook(
        cells=[
            new_markdown_cell(
                "# 06 Recurrent *glimpses* <of> digits & co\n\nHi."
            ),
            new_code_cell(
                "profile = None\nseed = 0\nsetting = None",
                metadata={"tags": ["parameters"]},
            ),
            new_markdown_cell(FORMULAS),
            new_markdown_cell("## What it shows\n\n![](missing.png)"),
            new_code_cell(
                "# Train or load.\nmodel.fit(x < 1 and y > 2)", outputs=outputs
            ),
            new_markdown_cell(
                "## Exercises\n\n<details><summary>Solution</summary>\n\n"
                "```python\nx = 1\n```\n\n</details>"
            ),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "P"}},
    )


def failed_notebook():
    """Return a notebook that stopped in a cell."""
    error = new_output(
        "error",
        ename="ValueError",
        evalue="<b>bad</b> & worse",
        traceback=["\x1b[31mValueError\x1b[0m: <b>bad</b> & worse"],
    )
    return new_notebook(
        cells=[
            new_markdown_cell("# 00 Motivation"),
            new_code_cell("raise ValueError('...')", outputs=[error]),
        ]
    )


def record(id, value, seed=0, **changes):
    """Return a record as `claims.record` writes it."""
    return {
        "id": id,
        "value": value,
        "unit": "",
        "seconds": 75.0,
        "note": "",
        "data": {"name": "digits28", "digest": "0" * 16, "description": ""},
        "profile": "quick",
        "notebook": id_notebook(id),
        "setting": None,
        "seed": seed,
        "backend": "jax",
        "device": "cpu (2 cores, <model> & co)",
        "revision": "0123456789ab",
        "started": "2026-01-02T03:04:05.000+00:00",
        "finished": "2026-01-02T03:06:05.000+00:00",
        "versions": {"python": "3.11.7", "keras": "3.15.1", "jax": "0.10.2"},
    } | changes


def id_notebook(id):
    """Return the notebook of a claim."""
    from attnlib import claims

    return claims.find(id).notebook


def write_result(folder, job, records, run=None):
    """Write a job's result file."""
    path = folder / "results" / f"{job}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    tree = {"schema": 1, "job": {"name": job}, "records": records}
    path.write_text(json.dumps(tree | ({"run": run} if run else {})))
    return path


def write_notebook(path, notebook):
    """Write a notebook file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def quick_claims(notebook="06"):
    """Return the claims that the quick profile decides by own records."""
    from attnlib import claims

    return [
        claim
        for claim in claims.load_claims()
        if claim.profile == "quick"
        and claim.notebook == notebook
        and not claim.result
        and not claim.of
    ]


RECORD = """
import json, os
with open(os.environ["ATTNLIB_RESULT_FILE"], "w") as file:
    json.dump({"schema": 1, "records": [{"id": "x", "value": 1}]}, file)
"""


def write_fake(root, number, code, record=RECORD, parameters=None):
    """Write a notebook of a checkout; it counts its runs in `runs.txt`."""
    names = {
        "00": "00_motivation",
        "02": "02_bahdanau_attention",
        "06": "06_recurrent_glimpses",
        "16": "16_scoreboard",
    }
    count = f"open({str(root / 'runs.txt')!r}, 'a').write('{number}\\n')"
    parameters = parameters or "profile = None\nseed = 0\nsetting = None"
    notebook = new_notebook(
        cells=[
            new_markdown_cell(f"# {number}"),
            new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            new_code_cell(count),
            new_code_cell(code),
            new_code_cell(record),
        ],
        metadata={
            "kernelspec": {
                "name": "python3",
                "display_name": "Python 3",
                "language": "python",
            }
        },
    )
    nbformat.write(notebook, root / "notebooks" / f"{names[number]}.ipynb")


def runs_of(root, number):
    """Return how often a notebook of a checkout was started."""
    path = root / "runs.txt"
    return path.read_text().split().count(number) if path.exists() else 0


def fill(folder):
    """Fill a profile: results of three seeds, their notebooks, a failure."""
    for seed in range(3):
        records = []
        for index, claim in enumerate(quick_claims()):
            value = (
                index % 3 != 0
                if claim.is_ordering
                else claim.value * (1 + 0.02 * (seed - 1) * (index + 1))
            )
            note = "say <em>this</em> & that" if index == 0 else ""
            records.append(record(claim.id, value, seed, note=note))
        run = {"seconds": 80.0, "started": 1e9 + seed, "finished": 1e9 + 99}
        write_result(folder, f"06-s{seed}", records, run)
        write_notebook(
            folder / "notebooks" / f"06-s{seed}.ipynb", sample_notebook()
        )
    write_notebook(folder / "failed" / "00-s0.ipynb", failed_notebook())
    (folder / "failed" / "00-s0.json").write_text(
        json.dumps(
            {
                "job": "00-s0",
                "kind": "cell failed",
                "message": "ValueError: <b>bad</b> & worse",
                "details": "\x1b[31mValueError\x1b[0m: <b>bad</b> & worse",
                "seconds": 3.0,
                "finished": 1e9,
            }
        )
    )
