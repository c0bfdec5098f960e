// A track on a MapLibre map: coloured by speed, dashed where there were no fixes, speeding and harsh events marked.

const SHADES = 6;

// The map; `drawn` is fulfilled once the whole track is on it, whether or not its basemap is. `options`: of the basemap.
export function mapOn(element, maplibre, track, options) {
  const { Map, LngLatBounds, Marker, addProtocol, prewarm, clearPrewarmedResources } = maplibre;
  prewarm(); // the worker starts while the map waits for WebGL
  const known = track.lat.flatMap((lat, k) => (lat === null || track.lon[k] === null ? [] : [[track.lon[k], lat]]));
  const bounds = known.reduce((all, at) => all.extend(at), new LngLatBounds(known[0], known[0]));
  if (options.pmtiles) addProtocol("pmtiles", new globalThis.pmtiles.Protocol().tile);
  const map = new Map({
    container: element,
    style: styleOf(track, options),
    bounds,
    fitBoundsOptions: { padding: 36, maxZoom: 17 },
    attributionControl: false,
    renderWorldCopies: false,
    fadeDuration: 0,
    maxPitch: 0,
    dragRotate: false,
    pitchWithRotate: false,
    locale: { "Map.Title": "Map of the track. Arrow keys move it, plus and minus zoom" },
  });
  map.touchZoomRotate.disableRotation();
  const vehicle = document.createElement("div");
  vehicle.className = "vehicle";
  const marker = new Marker({ element: vehicle }).setLngLat(known[0]).addTo(map);
  for (const name of ["role", "aria-label", "tabindex"]) vehicle.removeAttribute(name); // the timeline says where it is
  vehicle.setAttribute("aria-hidden", "true");
  zoomButtons(element.parentElement, map, bounds);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const repaint = () => map.setStyle(styleOf(track, options), { diff: false });
  dark.addEventListener("change", repaint);
  return {
    drawn: new Promise((resolve) => {
      map.on("render", function look() {
        if (!map.getSource("track") || !map.isSourceLoaded("track")) return;
        map.off("render", look);
        resolve();
      });
    }),
    moveTo(index) {
      if (track.lat[index] === null || track.lon[index] === null) return;
      const at = [track.lon[index], track.lat[index]];
      marker.setLngLat(at);
      if (!map.getBounds().contains(at)) map.panTo(at, { duration: 0 });
    },
    onPick(show) {
      map.on("click", ({ lngLat }) => show(closest(track, lngLat)));
    },
    remove() {
      dark.removeEventListener("change", repaint);
      map.remove();
      clearPrewarmedResources();
    },
  };
}

function closest(track, { lng, lat }) {
  const narrow = Math.cos((lat * Math.PI) / 180);
  let [best, found] = [Infinity, 0];
  track.lat.forEach((at, k) => {
    const far = at === null ? Infinity : (at - lat) ** 2 + ((track.lon[k] - lng) * narrow) ** 2;
    if (far < best) [best, found] = [far, k];
  });
  return found;
}

function zoomButtons(room, map, bounds) {
  const steps = { in: () => map.zoomIn(), out: () => map.zoomOut(), whole: () => map.fitBounds(bounds, { padding: 36, duration: 0 }) };
  for (const [name, act] of Object.entries(steps)) room.querySelector(`button.${name}`).addEventListener("click", act);
}

// One source and few layers whose colours depend on the data: each source is tiled, and each way of painting compiled.
function styleOf(track, options) {
  const css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue(name).trim();
  const shades = Array.from({ length: SHADES + 1 }, (_, k) => colour(`--v${k}`));
  const by = (name, values, other) => ["match", ["get", name], ...Object.entries(values).flat(), other];
  const basemap = basemapOf(options, colour);
  const features = [...linesOf(track), ...endsOf(track), ...pointsOf("refused", track.refused), ...pointsOf("harsh", track.harsh)];
  const has = (kind) => features.some(({ properties }) => properties.kind === kind);
  return {
    version: 8,
    sources: { ...basemap.sources, track: { type: "geojson", data: { type: "FeatureCollection", features }, tolerance: 0.2 } },
    layers: [
      { id: "paper", type: "background", paint: { "background-color": colour("--card") } },
      ...basemap.layers,
      ...(basemap.layers.length ? [line("halo", ["way"], { "line-color": colour("--halo"), "line-width": 6 })] : []),
      line("way", ["over", "way"], {
        "line-color": by("kind", { over: colour("--over") }, ["to-color", ["at", ["get", "shade"], ["literal", shades]]]),
        "line-width": by("kind", { over: 10 }, 4),
      }, { "line-sort-key": by("kind", { over: 0 }, 1) }),
      ...(has("silent") ? [line("silent", ["silent"], { "line-color": colour("--soft"), "line-width": 3, "line-dasharray": [2, 2] }, { "line-cap": "butt" })] : []),
      {
        id: "marks",
        type: "circle",
        source: "track",
        filter: ["==", ["geometry-type"], "Point"],
        layout: { "circle-sort-key": by("kind", { harsh: 2, refused: 1 }, 0) },
        paint: {
          "circle-radius": by("kind", { harsh: 7, refused: 7 }, 6),
          "circle-color": by("kind", { harsh: colour("--harsh"), end: colour("--ink") }, colour("--halo")),
          "circle-opacity": by("kind", { refused: 0 }, 1),
          "circle-stroke-width": 2,
          "circle-stroke-color": by("kind", { harsh: colour("--halo"), refused: colour("--warn") }, colour("--ink")),
        },
      },
    ],
  };
}

function line(id, kinds, paint, layout = {}) {
  const filter = ["match", ["get", "kind"], kinds, true, false];
  return { id, type: "line", source: "track", filter, layout: { "line-cap": "round", "line-join": "round", ...layout }, paint };
}

// One line for each kind and shade; a line goes on as long as neighbours are of its class.
function linesOf({ t, lat, lon, speed, over, topMps, silentAfterS }) {
  const classes = new Map();
  const add = (name, from, to, goesOn) => {
    if (!classes.has(name)) classes.set(name, []);
    const lines = classes.get(name);
    if (goesOn) lines.at(-1).push(to);
    else lines.push([from, to]);
  };
  let [last, lastOver, before] = ["", false, -1];
  for (let k = 0; k < t.length; k++) {
    if (lat[k] === null || lon[k] === null) continue;
    if (before >= 0) {
      const [from, to] = [[lon[before], lat[before]], [lon[k], lat[k]]];
      const silent = t[k] - t[before] > silentAfterS;
      const shade = Math.round(SHADES * Math.min(1, (speed[k] ?? 0) / topMps));
      const name = silent ? "silent" : `way ${shade}`;
      add(name, from, to, name === last);
      if (over[k] && !silent) add("over", from, to, lastOver);
      [last, lastOver] = [name, over[k] && !silent];
    }
    before = k;
  }
  return [...classes].map(([name, lines]) => {
    const [kind, shade] = name.split(" ");
    return feature({ type: "MultiLineString", coordinates: lines }, { kind, shade: Number(shade ?? 0) });
  });
}

function pointsOf(kind, marks) {
  return marks.filter((each) => each.lat !== null && each.lon !== null).map((each) => feature({ type: "Point", coordinates: [each.lon, each.lat] }, { kind }));
}

function endsOf({ lat, lon }) {
  const seen = lat.flatMap((each, k) => (each === null || lon[k] === null ? [] : [k]));
  const ends = [["start", seen[0]], ["end", seen.at(-1)]];
  return ends.map(([kind, k]) => feature({ type: "Point", coordinates: [lon[k], lat[k]] }, { kind }));
}

const feature = (geometry, properties) => ({ type: "Feature", geometry, properties });

// What lies below the track: nothing, pictures by a URL, or a PMTiles archive in the schema of Protomaps' basemaps.
function basemapOf({ tiles, pmtiles }, colour) {
  if (tiles) {
    return {
      sources: { basemap: { type: "raster", tiles: [tiles], tileSize: 256 } },
      layers: [{ id: "basemap", type: "raster", source: "basemap", paint: { "raster-saturation": -0.6, "raster-opacity": 0.7, "raster-fade-duration": 0 } }],
    };
  }
  if (!pmtiles) return { sources: {}, layers: [] };
  const area = (id, paint) => ({ id, type: "fill", source: "basemap", "source-layer": id, paint });
  const way = (id, paint) => ({ id, type: "line", source: "basemap", "source-layer": id, paint });
  return {
    sources: { basemap: { type: "vector", url: `pmtiles://${new URL(pmtiles, location.href)}` } },
    layers: [
      area("earth", { "fill-color": colour("--paper") }),
      area("landuse", { "fill-color": colour("--q0"), "fill-opacity": 0.7 }),
      area("water", { "fill-color": colour("--q1") }),
      way("boundaries", { "line-color": colour("--soft"), "line-dasharray": [3, 2] }),
      way("roads", { "line-color": colour("--line"), "line-width": ["interpolate", ["exponential", 1.6], ["zoom"], 6, 0.5, 12, 1.5, 18, 14] }),
      area("buildings", { "fill-color": colour("--line"), "fill-opacity": 0.5 }),
    ],
  };
}
