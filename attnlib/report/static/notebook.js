// The page is complete without this: it only opens all code at once.
(function () {
  "use strict";
  var button = document.getElementById("all-code");
  if (!button) return;
  button.hidden = false;
  button.addEventListener("click", function () {
    var open = button.getAttribute("aria-pressed") !== "true";
    document.querySelectorAll("details.code").forEach(function (cell) { cell.open = open; });
    button.setAttribute("aria-pressed", String(open));
    button.textContent = open ? "Hide all code" : "Show all code";
  });
}());
