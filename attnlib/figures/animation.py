"""A glimpse animation as one piece of HTML: no files, no network, no server.

The frames are pictures inside the page; a few lines of script move between
them. Where scripts do not run (an untrusted notebook), the first frame is a
plain picture and `glimpse_strip` shows all steps anyway.
"""

import hashlib
import html

from attnlib.figures import glimpses, style
from attnlib.figures.display import image_html, to_png

PLAYER = """
<div id="{uid}" style="max-width:700px">
{frames}
<div style="display:flex;gap:.6em;align-items:center;margin:.3em 0">
<button type="button" data-play style="min-width:5em">Play</button>
<label style="flex:1;display:flex;gap:.5em">{word}
<input type="range" min="1" max="{count}" value="1" step="1" style="flex:1"
 aria-label="number of the {word} shown"></label>
<output aria-live="polite">1 of {count}</output>
</div></div>
<script>
(function () {{
  var box = document.getElementById("{uid}");
  if (!box) return;
  var frames = box.querySelectorAll("[data-frame]");
  var slider = box.querySelector("input");
  var button = box.querySelector("[data-play]");
  var told = box.querySelector("output");
  var timer = null;
  function go(step) {{
    for (var i = 0; i < frames.length; i++)
      frames[i].style.display = i + 1 === step ? "block" : "none";
    slider.value = step;
    told.textContent = step + " of {count}";
  }}
  function stop() {{
    clearInterval(timer); timer = null; button.textContent = "Play";
  }}
  slider.addEventListener("input", function () {{
    stop(); go(Number(slider.value));
  }});
  button.addEventListener("click", function () {{
    if (timer !== null) {{ stop(); return; }}
    button.textContent = "Pause";
    go(Number(slider.value) % {count} + 1);
    timer = setInterval(function () {{
      go(Number(slider.value) % {count} + 1);
    }}, {interval});
  }});
}})();
</script>
"""


def glimpse_animation(
    image,
    locations,
    size,
    scales=1,
    probabilities=None,
    labels=None,
    title=None,
    interval_ms=900,
):
    """Animate a path of glimpses: play, pause, or step with a slider.

    Nothing moves until the reader presses Play. Display the result with
    `IPython.display.HTML`; its static twin is `glimpse_strip`.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3); uint8, or floats in [0, 1].
        locations: (T, 2), (x, y) in [-1, 1].
        size: side of the finest window in pixels.
        scales: number of windows.
        probabilities: (T, classes) the answer after every glimpse, or None.
        labels: one string a class.
        title: what to see, in front of "glimpse t of T".
        interval_ms: milliseconds a frame.

    Returns:
        Self-contained HTML as a string.
    """
    locations = style.as_array("locations", locations, 2)
    count = len(locations)
    if probabilities is not None:
        probabilities = style.as_array("probabilities", probabilities, 2)
        if len(probabilities) != count:
            raise ValueError(
                f"expected one row of probabilities a glimpse ({count}). "
                f"Received: {len(probabilities)}"
            )
    frames, digest = [], hashlib.sha256()
    for step in range(1, count + 1):
        fig = glimpses.glimpse_step(
            image,
            locations,
            step,
            size,
            scales,
            None if probabilities is None else probabilities[step - 1],
            labels,
            f"{title + ': ' if title else ''}glimpse {step} of {count}",
        )
        png = to_png(fig, dpi=100)
        digest.update(png)
        hidden = "" if step == 1 else ' style="display:none"'
        frames.append(
            f"<div data-frame{hidden}>"
            f"{image_html(png, fig.attnlib_alt, 700)}</div>"
        )
    return PLAYER.format(
        uid=html.escape(f"attnlib-{digest.hexdigest()[:12]}"),
        frames="\n".join(frames),
        count=count,
        word="glimpse",
        interval=int(interval_ms),
    )
