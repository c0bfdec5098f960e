"use strict";
(() => {
  const table = document.getElementById("journeys-table");
  const svg = document.getElementById("map-svg");
  if (!table || !svg) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const lines = [...svg.querySelectorAll("#lines .t")];
  const all = svg.getAttribute("viewBox").split(" ").map(Number);
  const SVG = "http://www.w3.org/2000/svg";
  const miles = table.tHead.rows[0].cells[2].textContent.trim() === "Miles";
  const unit = miles ? 1609.344 : 1000;
  let view = [...all];

  // The map: one view box; markers and the scale keep their size on the screen.
  const nice = (most) => {
    const power = 10 ** Math.floor(Math.log10(most));
    return [5, 2, 1].map((k) => k * power).find((k) => k <= most) || power;
  };
  const perPixel = () => {
    const box = svg.getBoundingClientRect();
    return Math.max(view[2] / (box.width || 1000), view[3] / (box.height || 625));
  };
  const element = (name, attributes, parent) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent.append(made);
    return made;
  };
  // Tiles of a basemap are in Web Mercator: each is laid where its corners are on this flat map.
  const [lat0, lon0, north, east] = svg.dataset.plane.split(" ").map(Number);
  const onMap = (lat, lon) => [(((lon - lon0 + 540) % 360) - 180) * east, (lat0 - lat) * north];
  const tiles = document.getElementById("tiles");
  const laid = new Map();
  const layTiles = () => {
    if (!svg.dataset.tiles) return;
    const rad = Math.PI / 180;
    const metres = perPixel() * 256;
    const z = Math.max(0, Math.min(19, Math.round(Math.log2((40075016 * Math.cos(lat0 * rad)) / metres))));
    const n = 2 ** z;
    const column = (x) => Math.floor(((lon0 + x / east + 180) / 360) * n);
    const row = (y) => {
      const lat = Math.max(-85, Math.min(85, lat0 - y / north)) * rad;
      return Math.floor(((1 - Math.asinh(Math.tan(lat)) / Math.PI) / 2) * n);
    };
    const latOf = (k) => Math.atan(Math.sinh(Math.PI * (1 - (2 * k) / n))) / rad;
    const [c0, c1] = [column(view[0]), column(view[0] + view[2])];
    const [r0, r1] = [Math.max(0, row(view[1])), Math.min(n - 1, row(view[1] + view[3]))];
    const wanted = new Set();
    if ((c1 - c0 + 1) * (r1 - r0 + 1) <= 80) {
      for (let c = c0; c <= c1; c++) for (let r = r0; r <= r1; r++) {
        const key = `${z}/${c}/${r}`;
        wanted.add(key);
        if (laid.has(key)) continue;
        const left = (((c / n) * 360 - 180) - lon0) * east, right = ((((c + 1) / n) * 360 - 180) - lon0) * east;
        const top = (lat0 - latOf(r)) * north, low = (lat0 - latOf(r + 1)) * north;
        const href = svg.dataset.tiles.replace("{z}", z).replace("{x}", ((c % n) + n) % n).replace("{y}", r);
        laid.set(key, element("image", { x: left, y: top, width: right - left, height: low - top, preserveAspectRatio: "none", href }, tiles));
      }
    }
    for (const [key, image] of laid) if (!wanted.has(key)) {
      image.remove();
      laid.delete(key);
    }
  };
  const show = () => {
    svg.setAttribute("viewBox", view.join(" "));
    const metres = perPixel();
    svg.style.setProperty("--k", metres * (view[2] < all[2] * 0.5 ? 0.8 : 0.6));
    const length = nice((120 * metres) / unit);
    document.getElementById("scale-bar").style.width = `${(length * unit) / metres}px`;
    document.getElementById("scale-text").textContent = `${+length.toPrecision(2)} ${miles ? "mi" : "km"}`;
    const grid = document.getElementById("grid");
    grid.replaceChildren();
    const step = nice((220 * metres) / unit) * unit;
    const left = view[0] - view[2], top = view[1] - view[3], right = view[0] + 2 * view[2], low = view[1] + 2 * view[3];
    for (let x = Math.ceil(left / step) * step; x < right; x += step) element("line", { x1: x, x2: x, y1: top, y2: low }, grid);
    for (let y = Math.ceil(top / step) * step; y < low; y += step) element("line", { x1: left, x2: right, y1: y, y2: y }, grid);
    for (const dot of svg.querySelectorAll("#chosen circle")) dot.setAttribute("r", 6 * metres);
    layTiles();
  };
  // The view that holds this box with some space around it.
  const goTo = (box, least) => {
    const width = Math.max(box.width, (box.height * all[2]) / all[3], least) * 1.3;
    const height = (width * all[3]) / all[2];
    view = [box.x + box.width / 2 - width / 2, box.y + box.height / 2 - height / 2, width, height];
    show();
  };
  const zoom = (factor, at) => {
    const width = Math.min(all[2] * 4, Math.max(120, view[2] * factor));
    const by = width / view[2];
    const [x, y] = at || [view[0] + view[2] / 2, view[1] + view[3] / 2];
    view = [x - (x - view[0]) * by, y - (y - view[1]) * by, width, view[3] * by];
    show();
  };
  const move = (x, y) => {
    view[0] += x;
    view[1] += y;
    show();
  };
  const whole = () => {
    view = [...all];
    show();
  };
  const place = (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return [point.x, point.y];
  };
  document.getElementById("zoom-in").addEventListener("click", () => zoom(0.6));
  document.getElementById("zoom-out").addEventListener("click", () => zoom(1 / 0.6));
  document.getElementById("zoom-all").addEventListener("click", whole);
  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? 0.8 : 1.25, place(event));
  }, { passive: false });
  svg.addEventListener("dblclick", (event) => zoom(0.5, place(event)));
  svg.addEventListener("keydown", (event) => {
    const step = view[2] / 10;
    const keys = {
      ArrowLeft: () => move(-step, 0), ArrowRight: () => move(step, 0), ArrowUp: () => move(0, -step),
      ArrowDown: () => move(0, step), "+": () => zoom(0.7), "=": () => zoom(0.7), "-": () => zoom(1 / 0.7),
      0: whole, Escape: () => choose(-1),
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  let from = null;
  let dragged = false;
  svg.addEventListener("pointerdown", (event) => {
    from = [event.clientX, event.clientY];
    dragged = false;
  });
  svg.addEventListener("pointermove", (event) => {
    if (!from || !event.buttons) return;
    const x = event.clientX - from[0], y = event.clientY - from[1];
    if (!dragged && Math.hypot(x, y) < 4) return;
    if (!dragged) svg.setPointerCapture(event.pointerId);
    dragged = true;
    svg.classList.add("held");
    from = [event.clientX, event.clientY];
    move(-x * perPixel(), -y * perPixel());
  });
  for (const name of ["pointerup", "pointercancel"]) {
    svg.addEventListener(name, () => {
      from = null;
      svg.classList.remove("held");
    });
  }

  // A chosen journey is marked on the map and in the table.
  const choose = (number) => {
    const chosen = document.getElementById("chosen");
    chosen.replaceChildren();
    for (const row of body.querySelectorAll(".on")) row.classList.remove("on");
    document.getElementById("lines").classList.toggle("dim", number >= 0);
    const text = document.getElementById("chosen-text");
    if (number < 0) {
      text.textContent = "";
      return;
    }
    const d = lines[number].getAttribute("d");
    element("path", { d, class: "halo" }, chosen);
    const path = element("path", { d }, chosen);
    const ends = [path.getPointAtLength(0), path.getPointAtLength(path.getTotalLength())];
    ends.forEach((end, k) => element("circle", { cx: end.x, cy: end.y, r: 1, class: k ? "to" : "from" }, chosen));
    rows[number].classList.add("on");
    const cells = [...rows[number].cells].map((cell) => cell.textContent);
    text.textContent = `${cells[0]}: ${cells[2]} ${miles ? "miles" : "km"} in ${cells[1]} min`;
    goTo(path.getBBox(), 400);
  };
  svg.addEventListener("click", (event) => {
    if (dragged) return;
    const target = event.target;
    if (target.classList.contains("t")) choose(lines.indexOf(target));
    else if (target.dataset && target.dataset.j) choose(Number(target.dataset.j));
    else choose(-1);
  });
  const toMap = () => document.getElementById("map").scrollIntoView({ block: "nearest", behavior: "smooth" });
  body.addEventListener("click", (event) => {
    const button = event.target.closest(".go");
    if (!button) return;
    choose(rows.indexOf(button.closest("tr")));
    toMap();
  });
  const events = document.getElementById("events-table");
  if (events) events.addEventListener("click", (event) => {
    const button = event.target.closest(".go");
    if (!button) return;
    choose(Number(button.dataset.j));
    const [x, y] = onMap(...button.dataset.at.split(" ").map(Number));
    goTo({ x, y, width: 0, height: 0 }, 400);
    toMap();
  });

  // On a phone a row is a card: each value has its title before it.
  for (const each of document.querySelectorAll("table.rows")) {
    const names = [...each.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    for (const row of each.tBodies[0].rows) [...row.cells].forEach((cell, k) => k && (cell.dataset.t = names[k]));
  }

  // The table sorts by the column whose title is clicked.
  const titles = [...table.tHead.rows[0].cells];
  titles.forEach((title, column) => {
    title.firstElementChild.addEventListener("click", () => {
      const falling = title.getAttribute("aria-sort") ? title.getAttribute("aria-sort") === "ascending" : column > 0;
      for (const other of titles) other.removeAttribute("aria-sort");
      title.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const value = (row) => {
        const text = row.cells[column].textContent;
        return column ? Number(text.replace(/,/g, "")) || 0 : text;
      };
      const keyed = rows.map((row) => [value(row), row]);
      keyed.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0) * (falling ? -1 : 1));
      body.append(...keyed.map((pair) => pair[1]));
    });
  });
  new ResizeObserver(show).observe(svg);
  show();
})();
