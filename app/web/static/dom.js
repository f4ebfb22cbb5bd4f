// Elements without HTML strings: external data can only become text.

/** An element. `props`: attributes by name, and listeners as `on…`. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return element;
}

/** Write `text` into `element` only if it differs, to avoid an unnecessary layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A table in a box that scrolls sideways. `columns`: headings, with `text` if aligned left. */
export function table(columns, rows, caption) {
  const cell = (tag, content, i) => h(tag, { class: columns[i].text ? "text" : null }, content ?? "–");
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", {},
      h("thead", {}, h("tr", {}, columns.map((column, i) => cell("th", column.name, i)))),
      h("tbody", {}, rows.map(row => h("tr", {}, row.map((content, i) => cell("td", content, i)))))));
}
