"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const small = window.matchMedia("screen and (max-width: 860px)");
  const axes = data.axes;
  const flat = axes.length === 1;
  const hidden = new Set();

  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "text") node.textContent = value;
      else if (name === "click") node.addEventListener("click", value);
      else if (name.startsWith("--")) node.style.setProperty(name, value);
      else node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  };
  const digits = (axis) => (axis.high - axis.low > 20 ? 1 : 2);
  const number = (value, axis) =>
    value === null ? "n/a" : Number(value.toFixed(digits(axis))).toLocaleString("en", { useGrouping: false });
  const amount = (value, axis) => number(value, axis) + (axis.mark === "°" || !axis.mark ? axis.mark : " " + axis.mark);
  const place = (point) => data.space.map((axis, k) => `${axis.label} ${amount(point[k], axis)}`).join(", ");
  const score = (value) => (value === null || value === undefined ? "n/a" : value.toFixed(3));

  // ---- what is where

  const cellOf = (point) => point.map((value, k) => {
    const axis = axes[k];
    const step = axis.values[1] - axis.values[0];
    let i = Math.round((value - axis.low) / step);
    const count = axis.values.length;
    i = axis.periodic ? ((i % count) + count) % count : Math.min(Math.max(i, 0), count - 1);
    return i;
  });
  const valueAt = (shape, network, cell) => {
    const table = shape.scores[network];
    return flat ? table[cell[0]] : table[cell[1]][cell[0]];
  };
  const inside = (region, point) =>
    region.outlines.some(([x0, x1, y0, y1]) => point[0] >= x0 && point[0] <= x1 &&
      (flat || (point[1] >= y0 && point[1] <= y1)));
  const area = (region) => region.outlines.reduce(
    (sum, [x0, x1, y0, y1]) => sum + (x1 - x0) * (flat ? 1 : y1 - y0), 0);

  const tile = (node, sheet, index) => {
    const column = index % sheet.columns;
    const row = Math.floor(index / sheet.columns);
    node.style.backgroundImage = `url(${sheet.source})`;
    node.style.backgroundSize = `${100 * sheet.columns}% ${100 * sheet.rows}%`;
    const x = sheet.columns > 1 ? (100 * column) / (sheet.columns - 1) : 0;
    const y = sheet.rows > 1 ? (100 * row) / (sheet.rows - 1) : 0;
    node.style.backgroundPosition = `${x}% ${y}%`;
  };
  // The address of a sheet is made once, so that every tile shares the decoded picture.
  for (const shape of data.shapes) {
    for (const sheet of [shape.sheet, shape.views]) {
      if (!sheet) continue;
      const bytes = Uint8Array.from(atob(sheet.jpeg), (letter) => letter.charCodeAt(0));
      sheet.source = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
      delete sheet.jpeg;
    }
  }

  // ---- maps

  const margins = () => small.matches ? { l: 44, r: 14, t: 6, b: 42 } : { l: 52, r: 16, t: 6, b: 42 };
  const scale = (axis) => ({
    range: [axis.low, axis.high], title: { text: axis.title, font: { size: 12 }, standoff: 6 }, dtick: axis.tick,
    tick0: 0, fixedrange: true, automargin: false, zeroline: false, showgrid: false, ticks: "outside", ticklen: 4, ticklabeloverflow: "allow",
  });
  const wrapped = (axis) => (axis.periodic ? [...axis.values, axis.high] : axis.values);
  const field = (table, color, largest) => {
    const close = (row, axis) => (axis.periodic ? [...row, row[0]] : row);
    const unit = (axis) => (axis.mark === "°" ? "°" : axis.mark ? " " + axis.mark : "");
    if (flat) {
      return {
        type: "scatter", mode: "lines+markers", x: wrapped(axes[0]), y: close(table, axes[0]),
        line: { color, width: 2 }, marker: { size: 4 },
        hovertemplate: `%{x:.1f}${unit(axes[0])}: %{y:.3f}<extra></extra>`,
      };
    }
    return {
      type: "heatmap", x: wrapped(axes[0]), y: wrapped(axes[1]), zmin: 0, zmax: largest, colorscale: "Cividis",
      z: close(table, axes[1]).map((row) => close(row, axes[0])), showscale: false, hoverongaps: false,
      hovertemplate: `%{x:.1f}${unit(axes[0])}, %{y:.1f}${unit(axes[1])}: %{z:.3f}<extra></extra>`,
    };
  };
  const traces = (shape, network) => {
    const result = [field(shape.scores[network], data.networks[network].color, 1)];
    for (const region of shape.regions) {
      if (region.network !== network || !region.outlines.length) continue;
      const x = [];
      const y = [];
      for (const [x0, x1, y0, y1] of region.outlines) {
        x.push(x0, x1, x1, x0, x0, null);
        y.push(y0, y0, y1, y1, y0, null);
      }
      const method = data.methods[region.method];
      const dash = region.verdict === "valid" ? "solid" : "5px,3px";
      const common = { type: "scatter", mode: "lines", x, y, hoverinfo: "skip", showlegend: false };
      result.push({ ...common, meta: region.method, line: { color: "rgba(255,255,255,.85)", width: 4.5 } });
      result.push({ ...common, meta: region.method, line: { color: method.color, width: 2.5, dash } });
    }
    if (!flat) {
      result.push({
        type: "scatter", mode: "markers", x: shape.starts.map((u) => u[0]), y: shape.starts.map((u) => u[1]),
        hoverinfo: "skip", showlegend: false,
        marker: { size: 8, color: "white", line: { color: "black", width: 1.5 } },
      });
    }
    return result;
  };
  const layout = () => ({
    margin: margins(), xaxis: scale(axes[0]),
    yaxis: flat ? { range: [-0.02, 1.02], title: { text: "score f", font: { size: 12 }, standoff: 6 },
      fixedrange: true, automargin: false, zeroline: false } : scale(axes[1]),
    dragmode: false, hovermode: "closest", showlegend: false, paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: flat ? "#ffffff" : "#eeeeee", font: { family: "inherit", size: 12, color: "#1b1f24" },
  });
  const settings = { displayModeBar: false, responsive: true, doubleClick: false };

  const views = new Map(); // section -> its state
  const sections = [...document.querySelectorAll("section.shape")];

  const fraction = (value, axis) => (value - axis.low) / (axis.high - axis.low);
  const position = (node, point, network, shape) => {
    const height = flat ? valueAt(shape, network, cellOf(point)) ?? 0 : null;
    node.style.left = `${100 * fraction(point[0], axes[0])}%`;
    node.style.top = `${100 * (1 - (flat ? (height + 0.02) / 1.04 : fraction(point[1], axes[1])))}%`;
  };

  const look = (view, cell, network) => {
    const { shape } = view;
    view.cell = cell;
    view.network = network;
    const point = cell.map((i, k) => axes[k].values[i]);
    view.point = point;
    view.cursors.forEach((node, n) => position(node, point, n, shape));
    const text = axes.map((axis, k) => `${axis.label} ${amount(point[k], axis)}`).join(", ");
    view.where.textContent = text;
    if (shape.sheet) {
      tile(view.picture, shape.sheet, flat ? cell[0] : cell[1] * axes[0].values.length + cell[0]);
      view.picture.setAttribute("aria-label", `${shape.title} at ${text}`);
    }
    view.meters.forEach(({ value, bar }, n) => {
      const found = valueAt(shape, n, cell);
      value.textContent = score(found);
      bar.style.width = `${100 * (found ?? 0)}%`;
    });
  };
  const regionsAt = (view, point, network) => view.shape.regions
    .filter((region) => region.network === network && !hidden.has(region.method) && inside(region, point))
    .sort((one, other) => area(one) - area(other));
  const title = (region) => `${data.methods[region.method].name}, point ${region.point + 1}`;

  const offer = (view, found) => {
    view.here.replaceChildren();
    if (!found.length) {
      view.here.append(make("span", { class: "soft small", text: "No region of this network here." }));
      return;
    }
    view.here.append(make("span", { class: "soft small", text: found.length > 1 ? "Regions here:" : "Region here:" }));
    for (const region of found) {
      view.here.append(make("button", { type: "button", "data-region": region.id, "aria-pressed": "false",
        click: () => {
          select(view, region);
          view.details.scrollIntoView({ block: "nearest" });
        } },
        make("span", { class: "swatch", "--c": data.methods[region.method].color }), title(region),
        make("span", { class: `chip ${region.verdict}`, title: region.verdict })));
    }
  };
  const pick = (view, point, network) => {
    const found = regionsAt(view, point, network);
    offer(view, found);
    if (found.length) select(view, found[0]);
    else clear(view);
  };
  const clear = (view) => {
    view.picked.forEach((node) => node.replaceChildren());
    view.details.replaceChildren(make("p", { class: "soft",
      text: "Click a box, or press a button of the table below, for what is known about it." }));
    mark(view, null);
  };
  const mark = (view, id) => {
    for (const node of view.section.querySelectorAll("[data-region]")) {
      if (node.tagName === "TR") {
        if (Number(node.dataset.region) === id) node.setAttribute("aria-current", "true");
        else node.removeAttribute("aria-current");
      } else node.setAttribute("aria-pressed", String(Number(node.dataset.region) === id));
    }
  };
  const select = (view, region) => {
    view.picked.forEach((node, n) => {
      node.replaceChildren();
      if (n !== region.network) return;
      for (const [x0, x1, y0, y1] of region.outlines) {
        const box = make("span", { class: "picked" });
        const [left, right] = [fraction(x0, axes[0]), fraction(x1, axes[0])];
        const [low, high] = flat ? [0, 1] : [fraction(y0, axes[1]), fraction(y1, axes[1])];
        Object.assign(box.style, { left: `${100 * left}%`, width: `${100 * (right - left)}%`,
          bottom: `${100 * low}%`, height: `${100 * (high - low)}%` });
        node.append(box);
      }
    });
    const lines = make("dl");
    for (const [name, value] of region.lines) lines.append(make("dt", { text: name }), make("dd", { text: value }));
    const strip = make("div", { class: "strip" });
    for (const shot of region.shots) {
      const picture = make("div", { class: "picture", role: "img", "aria-label": `${shot.name}, ${place(shot.point)}` });
      tile(picture, view.shape.views, shot.tile);
      strip.append(make("figure", {}, picture, make("figcaption", { text: shot.text })));
    }
    view.details.replaceChildren(
      make("h4", {}, make("span", { class: "swatch", "--c": data.methods[region.method].color }),
        `${title(region)}, ${data.networks[region.network].name}`),
      make("p", {}, make("span", { class: `chip ${region.verdict}`, text: region.verdict }), `: ${region.sentence}`),
      strip, lines);
    mark(view, region.id);
  };

  const setUp = (section) => {
    const shape = data.shapes[Number(section.dataset.shape)];
    const panel = section.querySelector(".view");
    const maps = [...section.querySelectorAll(".map")];
    const view = { section, shape, maps, cursors: [], picked: [], meters: [] };
    view.where = make("p", { class: "where" });
    view.picture = make("div", { class: "picture", role: "img", "aria-label": shape.title });
    const table = make("table", { class: "scores" });
    for (const network of data.networks) {
      const value = make("td", { class: "number" });
      const bar = make("i", { "--c": network.color });
      table.append(
        make("tr", {}, make("th", { scope: "row", class: "name" },
          make("span", { class: "swatch", "--c": network.color }), network.name), value),
        make("tr", { "aria-hidden": "true" }, make("td", { colspan: "2" }, make("div", { class: "meter" }, bar))));
      view.meters.push({ value, bar });
    }
    view.here = make("div", { class: "here" });
    view.details = make("div", { class: "details", "aria-live": "polite" });
    const now = make("div", { class: "now" });
    if (shape.sheet) now.append(view.picture);
    now.append(make("div", {}, view.where, table, view.here));
    panel.replaceChildren(now, view.details);
    for (const node of maps) {
      const cursor = make("span", { class: "cursor" });
      const picked = make("span");
      node.append(make("div", { class: "area", "aria-hidden": "true" }, picked, cursor));
      view.cursors.push(cursor);
      view.picked.push(picked);
      node.addEventListener("keydown", (event) => steer(view, Number(node.dataset.network), event));
    }
    for (const button of section.querySelectorAll("button[data-region]")) {
      button.addEventListener("click", () => {
        const region = shape.regions.find((one) => one.id === Number(button.dataset.region));
        look(view, cellOf(region.u0), region.network);
        offer(view, regionsAt(view, region.u0.slice(0, axes.length), region.network));
        select(view, region);
        section.querySelector(".stage").scrollIntoView({ block: "nearest" });
      });
    }
    views.set(section, view);
    look(view, cellOf(shape.starts[0].slice(0, axes.length)), 0);
    offer(view, regionsAt(view, shape.starts[0], 0));
    clear(view);
    return view;
  };
  const steer = (view, network, event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
    if (event.key === "Enter" || event.key === " ") pick(view, view.point, network);
    else if (event.key in moves && !(flat && moves[event.key][1])) {
      const cell = view.cell.map((i, k) => {
        const count = axes[k].values.length;
        const next = i + moves[event.key][k];
        return axes[k].periodic ? (next + count) % count : Math.min(Math.max(next, 0), count - 1);
      });
      look(view, cell, network);
      offer(view, regionsAt(view, view.point, network));
    } else return;
    event.preventDefault();
  };
  const draw = async (view, node) => {
    const network = Number(node.dataset.network);
    await Plotly.newPlot(node, traces(view.shape, network), layout(), settings);
    const over = (event) => {
      const found = event.points[0];
      const point = flat ? [found.x] : [found.x, found.y];
      look(view, cellOf(point), network);
      return point;
    };
    node.on("plotly_hover", over);
    node.on("plotly_click", (event) => {
      const point = over(event);
      const plot = node.querySelector(".nsewdrag").getBoundingClientRect();
      const touch = event.event && event.event.clientX !== undefined ? event.event : null;
      if (touch && plot.width) { // where exactly, not the middle of the cell
        point[0] = axes[0].low + ((touch.clientX - plot.left) / plot.width) * (axes[0].high - axes[0].low);
        if (!flat) point[1] = axes[1].high - ((touch.clientY - plot.top) / plot.height) * (axes[1].high - axes[1].low);
      }
      pick(view, point, network);
    });
    node.dataset.drawn = "true";
  };

  const plain = [...document.querySelectorAll(".map.plain")];
  const drawPlain = async (node) => {
    const kind = node.dataset.kind;
    const table = data.classes[Number(node.dataset.class)][kind];
    await Plotly.newPlot(node, [field(table, "#1b1f24", kind === "spread" ? data.spread : 1)], layout(), settings);
    node.dataset.drawn = "true";
  };

  const curve = async () => {
    const node = document.getElementById("curve");
    if (!node) return;
    const dashes = ["solid", "dash", "dot"];
    const lines = data.curve.lines.map((line) => ({
      type: "scatter", mode: "lines+markers", x: data.curve.eps_m, y: line.values,
      line: { color: data.networks[line.network].color, dash: dashes[line.dash % 3], width: 2 },
      hovertemplate: "eps_m %{x}: %{y:.2f} %<extra></extra>",
    }));
    await Plotly.newPlot(node, lines, {
      margin: { l: 52, r: 10, t: 6, b: 42 }, font: { family: "inherit", size: 12, color: "#1b1f24" },
      xaxis: { title: { text: "eps_m: the mean of f is at least 1 - eps_m" }, fixedrange: true, dtick: 0.1 },
      yaxis: { title: { text: "verified SRVR (%)" }, fixedrange: true, rangemode: "tozero" },
      showlegend: false, dragmode: false, hovermode: "closest",
    }, settings);
    node.dataset.drawn = "true";
  };

  // ---- controls

  for (const box of document.querySelectorAll("input[data-method]")) {
    box.addEventListener("change", () => {
      const method = Number(box.dataset.method);
      if (box.checked) hidden.delete(method);
      else hidden.add(method);
      for (const { maps } of views.values()) {
        for (const node of maps) {
          if (!node.data) continue;
          const chosen = node.data.map((trace, k) => (trace.meta === method ? k : -1)).filter((k) => k >= 0);
          if (chosen.length) Plotly.restyle(node, { visible: box.checked }, chosen);
        }
      }
    });
  }
  const jump = document.getElementById("jump");
  if (jump) {
    jump.addEventListener("change", () => {
      if (jump.value) document.getElementById(jump.value).scrollIntoView();
    });
  }
  small.addEventListener("change", () => {
    for (const node of document.querySelectorAll(".map")) {
      if (node.data) Plotly.relayout(node, { margin: margins() });
    }
  });
  const resize = (page) => {
    for (const node of document.querySelectorAll(".map, .curve")) {
      if (!node.data) continue;
      const width = page && node.classList.contains("plain") ? page / 2 - 8 : page;
      if (page) Plotly.relayout(node, { autosize: false, width, height: node.clientHeight });
      else Plotly.relayout(node, { autosize: true, width: null, height: null });
    }
  };
  window.addEventListener("beforeprint", () => resize(680));
  window.addEventListener("afterprint", () => resize(null));

  const start = async () => {
    sections.forEach(setUp);
    await curve();
    for (const node of plain) await drawPlain(node);
    for (const view of views.values()) {
      for (const node of view.maps) {
        await draw(view, node);
        await new Promise((done) => setTimeout(done));
      }
    }
    for (const box of document.querySelectorAll("input[data-method]")) {
      if (!box.checked) box.dispatchEvent(new Event("change")); // the browser remembered it
    }
    document.documentElement.dataset.ready = "true";
  };
  start();
})();
