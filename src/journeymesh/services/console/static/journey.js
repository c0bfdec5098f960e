// The journey page: the track on a map, a timeline that moves the vehicle on it, and charts in step with it. What it
// shows is in the page as a picture and tables already; those stay where this cannot run.

import { chartsOf } from "./track_charts.js";
import { mapOn } from "./track_map.js";

const root = document.getElementById("replay");
if (root) begin(root).catch((error) => withdraw(root, error));

async function begin(root) {
  await painted(); // figures and picture are there before a large library is begun
  performance.mark("picture-drawn");
  const track = readTrack(JSON.parse(document.getElementById("columns").textContent), root);
  if (track.t.length < 2) return;
  const maplibre = await import(root.dataset.maplibre);
  performance.mark("map-begun");
  root.hidden = false; // the picture lies over the map until that has drawn the track
  const map = mapOn(root.querySelector(".map"), maplibre, track, root.dataset);
  const charts = chartsOf(root.querySelector(".charts"), track, (index) => show(index));
  const show = timeline(root, track, (index) => {
    map.moveTo(index);
    charts.moveTo(index);
  });
  map.onPick(show);
  for (const event of [...track.harsh, ...track.refused]) event.button.addEventListener("click", () => show(nearest(track.t, event.t), true));
  whenGone(root, () => {
    map.remove();
    charts.remove();
  });
  await map.drawn;
  performance.mark("track-drawn");
  document.getElementById("picture").hidden = true;
  root.dataset.ready = "";
}

// Without WebGL, or where a library did not come: nothing that does nothing stays, and the picture is in its own place.
function withdraw(root, error) {
  root.hidden = true;
  for (const button of document.querySelectorAll("[data-harsh-at] th > button, [data-refused-at] th > button")) button.replaceWith(...button.childNodes);
  console.warn("the map was not drawn:", error.message);
}

function painted() {
  return new Promise((go) => requestAnimationFrame(() => setTimeout(go)));
}

// The columns as they came, with what the page itself knows: units, the clock, harsh events.
function readTrack(columns, root) {
  const { perMps, speedUnit, zone } = root.dataset;
  const clock = new Intl.DateTimeFormat("en-GB", { timeZone: zone, timeStyle: "medium" });
  const marks = (name, selector) => [...document.querySelectorAll(selector)].map((row) => ({
    t: Number(row.dataset[name]),
    lat: row.dataset.lat === "" ? null : Number(row.dataset.lat),
    lon: row.dataset.lon === "" ? null : Number(row.dataset.lon),
    button: buttonIn(row),
  }));
  const harsh = marks("harshAt", "[data-harsh-at]");
  const refused = marks("refusedAt", '[data-refused-at]:not([data-refused-at=""])');
  const accel = columns.accel.some((value) => value !== null) ? columns.accel : slopes(columns.t, columns.speed);
  return {
    ...columns,
    accel,
    accelReported: accel === columns.accel,
    harsh,
    refused,
    zone,
    speedUnit,
    perMps: Number(perMps),
    clock: (t) => clock.format(new Date(t * 1000)),
  };
}

function buttonIn(row) {
  const cell = row.querySelector("th");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.append(...cell.childNodes);
  button.title = "Show on the map";
  cell.append(button);
  return button;
}

// Change of speed over time, where nothing measured it itself.
function slopes(t, speed) {
  return t.map((at, k) => {
    const apart = k ? at - t[k - 1] : 0;
    return apart > 0 && apart <= 10 && speed[k] !== null && speed[k - 1] !== null ? (speed[k] - speed[k - 1]) / apart : null;
  });
}

export function nearest(sorted, value) {
  let [low, high] = [0, sorted.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle;
    else high = middle;
  }
  return value - sorted[low] <= sorted[high] - value ? low : high;
}

function timeline(root, track, moved) {
  const range = root.querySelector("input[type=range]");
  const said = root.querySelector("output");
  const play = root.querySelector("button.play");
  range.max = String(track.t.length - 1);
  let playing = 0;

  function show(index, scroll = false) {
    range.value = String(index);
    const speed = track.speed[index];
    const limit = track.limit[index];
    const words = [track.clock(track.t[index])];
    words.push(speed === null ? "no speed" : `${Math.round(speed * track.perMps)} ${track.speedUnit}`);
    if (limit !== null) words.push(`limit ${Math.round(limit * track.perMps)}`);
    if (track.accel[index] !== null) words.push(`${track.accel[index].toFixed(1)} m/s²`);
    said.textContent = words.join(" · ");
    range.setAttribute("aria-valuetext", words.join(", "));
    moved(index);
    if (scroll) root.scrollIntoView({ block: "nearest" });
  }

  function stop() {
    cancelAnimationFrame(playing);
    playing = 0;
    play.textContent = "Play";
  }

  play.addEventListener("click", () => {
    if (playing) return stop();
    const last = track.t.length - 1;
    const from = Number(range.value) < last ? Number(range.value) : 0;
    const began = performance.now();
    const times = Math.max(20, (track.t[last] - track.t[0]) / 60); // a journey takes a minute at most
    play.textContent = "Pause";
    const step = (now) => {
      const index = nearest(track.t, track.t[from] + ((now - began) / 1000) * times);
      show(index);
      if (index < last && root.isConnected) playing = requestAnimationFrame(step);
      else stop();
    };
    playing = requestAnimationFrame(step);
  });
  range.addEventListener("input", () => {
    if (playing) stop();
    show(Number(range.value));
  });
  show(0);
  return show;
}

// A live update may take the track away: what draws it is let go then.
function whenGone(root, end) {
  document.addEventListener("htmx:after:swap", function look() {
    if (root.isConnected) return;
    document.removeEventListener("htmx:after:swap", look);
    end();
  });
}
