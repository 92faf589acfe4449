"use strict";
// Values under the pointer. The page reads without it: all it knows it takes from the drawings.
for (const svg of document.querySelectorAll("svg[data-scale]")) {
  const [x, y] = svg.dataset.scale.split(";").map((text) => {
    const [low, high, kind] = text.split(",");
    return { low: +low, high: +high, log: kind === "log" };
  });
  const value = (axis, share) =>
    axis.log ? axis.low * (axis.high / axis.low) ** share : axis.low + share * (axis.high - axis.low);
  const round = (number) => +number.toPrecision(4);
  let lines = null;
  const read = () => [...svg.querySelectorAll("path[data-name]")].map((path) => ({
    name: path.dataset.name,
    points: path.getAttribute("d").slice(1).split("L").map((pair) => pair.split(" ").map(Number)),
  }));
  const figure = svg.closest("figure");
  const box = document.createElement("div");
  const cursor = document.createElement("div");
  box.className = "readout";
  cursor.className = "cursor";
  const hide = () => { box.remove(); cursor.remove(); };
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("pointermove", (event) => {
    lines ??= read();
    const area = svg.getBoundingClientRect();
    const outer = figure.getBoundingClientRect();
    const at = (1000 * (event.clientX - area.left)) / area.width;
    const found = lines.map(({ name, points }) => {
      const nearest = points.reduce((best, point) =>
        Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best);
      return [name, nearest];
    }).filter(([, point]) => point.length === 2 && Math.abs(point[0] - at) < 60).slice(0, 16);
    if (!found.length) { hide(); return; }
    const place = found.reduce((best, [, point]) =>
      Math.abs(point[0] - at) < Math.abs(best - at) ? point[0] : best, Infinity);
    const rows = found.map(([name, point]) => `${name}: ${round(value(y, 1 - point[1] / 1000))}`);
    box.textContent = [`at ${round(value(x, place / 1000))}`, ...rows].join("\n");
    box.style.whiteSpace = "pre-line";
    figure.append(box, cursor);
    const left = area.left - outer.left + (place / 1000) * area.width;
    cursor.style.cssText =
      `left:${left}px;top:${area.top - outer.top}px;height:${area.height}px`;
    const flip = left + box.offsetWidth + 12 > outer.width;
    box.style.left = `${Math.max(0, flip ? left - box.offsetWidth - 8 : left + 8)}px`;
    box.style.top = `${area.top - outer.top}px`;
  });
}
