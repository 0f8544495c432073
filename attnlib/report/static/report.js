// The page is complete without this: it only filters the scoreboard.
(function () {
  "use strict";
  var form = document.getElementById("filters");
  if (!form) return;
  var groups = Array.prototype.slice.call(document.querySelectorAll("details.group"));
  var opened = groups.map(function (group) { return group.open; });
  form.hidden = false;

  function apply() {
    var notebook = form.elements.notebook.value;
    var verdict = form.elements.verdict.value;
    var words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    var filtered = Boolean(notebook || verdict || words.length);
    var shown = 0;
    groups.forEach(function (group, index) {
      var inGroup = 0;
      group.querySelectorAll("tbody tr").forEach(function (row) {
        var text = row.textContent.toLowerCase();
        var fits = (!notebook || group.dataset.notebook === notebook) &&
          (!verdict || row.dataset.verdict === verdict ||
            (verdict === "decided" && row.dataset.verdict !== "not run")) &&
          words.every(function (word) { return text.indexOf(word) >= 0; });
        row.hidden = !fits;
        inGroup += fits ? 1 : 0;
      });
      group.hidden = inGroup === 0;
      var rest = group.querySelector("details.rest");
      if (rest) {
        var inRest = rest.querySelectorAll("tbody tr:not([hidden])").length;
        rest.hidden = inRest === 0;
        rest.open = filtered && inRest > 0;
      }
      group.open = filtered ? inGroup > 0 : opened[index];
      shown += inGroup;
    });
    form.elements.count.value = shown + (shown === 1 ? " claim" : " claims");
  }

  form.addEventListener("input", apply);
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  form.addEventListener("reset", function () { window.setTimeout(apply, 0); });
  apply();
}());
