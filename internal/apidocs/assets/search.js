// Filters the index while one types. Without it the form asks the server.
(function () {
  "use strict";
  var input = document.getElementById("search");
  var count = document.getElementById("count");
  var before = count.innerHTML;
  var items = Array.from(document.querySelectorAll("li[data-text]"));
  var groups = Array.from(document.querySelectorAll("details.api, section.resource"));
  var open = new Map(groups.map(function (g) { return [g, g.open]; }));

  input.addEventListener("input", function () {
    var words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    var found = 0;
    items.forEach(function (item) {
      item.hidden = !words.every(function (w) { return item.dataset.text.includes(w); });
      if (!item.hidden) found++;
    });
    groups.forEach(function (g) {
      g.hidden = !g.querySelector("li[data-text]:not([hidden])");
      if (g.tagName === "DETAILS") g.open = words.length > 0 || open.get(g);
    });
    if (words.length > 0) {
      count.textContent = found === 1 ? "1 operation found." : found + " operations found.";
    } else {
      count.innerHTML = before;
    }
  });
})();
