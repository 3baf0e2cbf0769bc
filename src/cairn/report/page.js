// Sort a leaderboard by a click on a column's head; without this the table stands in order of place.
document.querySelectorAll("table.board").forEach(function (table) {
  var body = table.tBodies[0], rows = table.tHead.rows, heads = [], under = Array.from(rows[1].cells);
  Array.from(rows[0].cells).forEach(function (cell) {
    if (cell.rowSpan === 2) heads.push(cell);
    else heads = heads.concat(under.splice(0, cell.colSpan));
  });
  heads.forEach(function (head, column) {
    if (head.classList.contains("run")) return;
    var button = document.createElement("button"), up = true;
    while (head.firstChild) button.appendChild(head.firstChild);
    head.appendChild(button);
    button.title = "sort";
    button.addEventListener("click", function () {
      Array.from(body.rows)
        .map(function (row) { return [parseFloat(row.cells[column].dataset.v), row]; })
        .sort(function (a, b) {
          if (isNaN(a[0]) || isNaN(b[0])) return isNaN(a[0]) - isNaN(b[0]);
          return up ? a[0] - b[0] : b[0] - a[0];
        })
        .forEach(function (pair) { body.appendChild(pair[1]); });
      heads.forEach(function (h) { h.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      up = !up;
    });
  });
});
