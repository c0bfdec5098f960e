// Speed and acceleration over time (uPlot, a classic script that the page loads), in step with the timeline.

const HIGH = { speed: 190, accel: 150 };

export function chartsOf(room, track, show) {
  const { uPlot } = globalThis;
  const speeds = track.speed.map(scaled(track.perMps));
  const limits = track.limit.some((value) => value !== null) ? track.limit.map(scaled(track.perMps)) : null;
  let colours = coloursNow();
  let charts = [];
  let at = 0;
  let moving = false; // a cursor that is set from here is no pointer of anybody's

  function make() {
    charts.forEach((chart) => chart.destroy());
    colours = coloursNow();
    charts = [
      chart("speed", `Speed (${track.speedUnit})`, [speeds, ...(limits ? [limits] : [])], ["--accent", "--over"]),
      chart("accel", `Acceleration (m/s²)${track.accelReported ? "" : ", from speed"}`, [track.accel], ["--v5"]),
    ];
    moveTo(at);
  }

  function chart(kind, title, columns, names) {
    const axis = { stroke: colours("--soft"), grid: { stroke: colours("--line"), width: 1 }, ticks: { stroke: colours("--line") } };
    const figure = room.querySelector(`[data-chart=${kind}]`);
    figure.setAttribute("aria-label", `${title} over time. The table of fixes has the numbers.`);
    return new uPlot(
      {
        title,
        width: Math.max(240, room.clientWidth),
        height: HIGH[kind],
        tzDate: (s) => uPlot.tzDate(new Date(s * 1000), track.zone),
        legend: { show: false },
        cursor: { drag: { x: false, y: false }, y: false, points: { size: 7 } },
        scales: { x: { time: true } },
        axes: [{ ...axis, values: times(track.zone) }, { ...axis, size: 48 }],
        series: [
          {},
          ...columns.map((_, k) => ({
            stroke: colours(names[k]),
            width: k ? 1.5 : 2,
            dash: k ? [6, 4] : undefined,
            paths: k ? uPlot.paths.stepped({ align: -1 }) : undefined,
            points: { show: false },
            spanGaps: false,
            gaps: (own, _series, _from, _to, found) => [...found, ...silences(own, track)],
          })),
        ],
        hooks: {
          setCursor: [
            (own) => {
              if (!moving && own.cursor.event && own.cursor.idx !== null && own.cursor.idx !== at) show(own.cursor.idx);
            },
          ],
        },
      },
      [track.t, ...columns],
      figure,
    );
  }

  function moveTo(index) {
    at = index;
    moving = true;
    for (const each of charts) each.setCursor({ left: each.valToPos(track.t[index], "x"), top: 10 }, false);
    moving = false;
  }

  make();
  const resized = new ResizeObserver(() => {
    for (const [k, kind] of ["speed", "accel"].entries()) charts[k].setSize({ width: Math.max(240, room.clientWidth), height: HIGH[kind] });
    moveTo(at);
  });
  resized.observe(room);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", make);
  return {
    moveTo,
    remove() {
      resized.disconnect();
      dark.removeEventListener("change", make);
      charts.forEach((each) => each.destroy());
    },
  };
}

// Where there were no fixes there is no line either.
function silences(chart, { t, silentAfterS }) {
  const found = [];
  for (let k = 1; k < t.length; k++) {
    if (t[k] - t[k - 1] > silentAfterS) found.push([chart.valToPos(t[k - 1], "x", true), chart.valToPos(t[k], "x", true)]);
  }
  return found;
}

const times = (zone) => (_chart, splits, _axis, _space, step) => {
  const format = globalThis.uPlot.fmtDate(step < 60 ? "{HH}:{mm}:{ss}" : "{HH}:{mm}");
  return splits.map((s) => format(globalThis.uPlot.tzDate(new Date(s * 1000), zone)));
};
const scaled = (factor) => (value) => (value === null ? null : value * factor);

function coloursNow() {
  const css = getComputedStyle(document.documentElement);
  return (name) => css.getPropertyValue(name).trim();
}
