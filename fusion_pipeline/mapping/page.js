"use strict";
// Pointing at an area, or moving to one by keys, shows its numbers; two buttons and keys zoom; dragging moves.
(() => {
  const map = document.querySelector("svg.map");
  const about = document.querySelector(".about");
  const search = document.querySelector("input[type=search]");
  const areas = [...map.querySelectorAll(".areas path")];
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const whole = map.viewBox.baseVal;
  const full = { x: whole.x, y: whole.y, width: whole.width, height: whole.height };
  const middles = areas.map((area) => {
    const box = area.getBBox();
    return [box.x + box.width / 2, box.y + box.height / 2];
  });
  let chosen = -1;
  let drag = null;

  function line(list, term, text) {
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = term;
    dd.textContent = text;
    list.append(dt, dd);
  }

  function choose(position) {
    if (position === chosen || position < 0) return;
    if (chosen >= 0) areas[chosen].classList.remove("chosen");
    chosen = position;
    const area = areas[position];
    area.classList.add("chosen");
    area.parentNode.append(area); // drawn last, so that no neighbour covers its border
    const [name, estimate, margin, share, n] = facts.areas[position];
    const heading = document.createElement("h2");
    heading.textContent = name;
    if (estimate === "") {
      const none = document.createElement("p");
      none.textContent = "No estimate";
      about.replaceChildren(heading, none);
      return;
    }
    const list = document.createElement("dl");
    line(list, "Estimate", estimate);
    line(list, "Margin", margin === "" ? "none" : `± ${margin}${share === "" ? "" : ` (${share}\u00a0%)`}`);
    if (facts.unit !== "") line(list, "Unit", facts.unit);
    line(list, "n", n);
    about.replaceChildren(heading, list);
  }

  function neighbour(dx, dy) {
    if (chosen < 0) return 0;
    let best = -1;
    let least = Infinity;
    const [x, y] = middles[chosen];
    middles.forEach(([u, v], position) => {
      const along = (u - x) * dx + (v - y) * dy;
      const across = Math.abs((u - x) * dy) + Math.abs((v - y) * dx);
      const cost = along + 2.5 * across;
      if (along > 1 && cost < least) [best, least] = [position, cost];
    });
    return best;
  }

  function look(x, y, width) {
    const scale = Math.min(1, Math.max(1 / 16, width / full.width));
    whole.width = full.width * scale;
    whole.height = full.height * scale;
    whole.x = Math.min(full.x + full.width - whole.width, Math.max(full.x, x - whole.width / 2));
    whole.y = Math.min(full.y + full.height - whole.height, Math.max(full.y, y - whole.height / 2));
    map.classList.toggle("zoomed", scale < 1);
  }

  function zoom(factor) {
    const centre = [whole.x + whole.width / 2, whole.y + whole.height / 2];
    const [x, y] = chosen >= 0 && factor < 1 ? middles[chosen] : centre;
    look(x, y, whole.width * factor);
  }

  areas.forEach((area, position) => {
    area.addEventListener("pointerenter", () => { if (!drag) choose(position); });
    area.addEventListener("pointerdown", () => choose(position));
  });
  const keys = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  map.addEventListener("keydown", (event) => {
    if (event.key in keys) choose(neighbour(...keys[event.key]));
    else if (event.key === "+" || event.key === "=") zoom(0.5);
    else if (event.key === "-") zoom(2);
    else if (event.key === "0") look(0, 0, full.width);
    else return;
    event.preventDefault();
  });
  map.addEventListener("focus", () => choose(chosen < 0 ? 0 : chosen));
  map.addEventListener("pointerdown", (event) => {
    if (map.classList.contains("zoomed")) drag = [event.clientX, event.clientY];
  });
  addEventListener("pointermove", (event) => {
    if (!drag) return;
    const unit = whole.width / map.clientWidth;
    const x = whole.x + whole.width / 2 - (event.clientX - drag[0]) * unit;
    const y = whole.y + whole.height / 2 - (event.clientY - drag[1]) * unit;
    look(x, y, whole.width);
    drag = [event.clientX, event.clientY];
  });
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { drag = null; });
  document.getElementById("nearer").addEventListener("click", () => zoom(0.5));
  document.getElementById("farther").addEventListener("click", () => zoom(2));
  document.getElementById("all").addEventListener("click", () => look(0, 0, full.width));
  search.addEventListener("input", () => {
    const asked = search.value.trim().toLowerCase();
    if (!asked) return;
    const names = facts.areas.map(([name]) => name.toLowerCase());
    const exact = names.indexOf(asked);
    choose(exact >= 0 ? exact : names.findIndex((name) => name.includes(asked)));
  });
})();
