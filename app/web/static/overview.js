// The overview: one row per product. Only the visible rows are in the document.

import { get, repeat } from "./api.js";
import { h, setText } from "./dom.js";
import { change, count, duration, points, price } from "./format.js";
import { startFrame } from "./frame.js";
import { productUrl } from "./link.js";
import { Live } from "./live.js";
import { bySearch, bySort, heat, isStale } from "./market.js";

const SPARE = 12; // rows above and below the visible ones
const POLL_MS = 2000, POLL_WITH_STREAM_MS = 5000;
const BASE = "5m"; // the timeframe of the newest candles

/** The products with their search and order, which are in the address, too. */
class OverviewPage {
  constructor(element) {
    const query = new URLSearchParams(location.search);
    const sort = query.get("sort") ?? "product";
    this.element = element; // contains the page
    this.search = query.get("q") ?? ""; // what the products are searched for
    this.sort = sort.replace(/^-/, ""); // column that orders the rows
    this.down = sort.startsWith("-"); // whether the order is descending
    this.answer = null; // the newest overview
    this.by = new Map(); // its rows, by product
    this.rows = []; // those that the search finds, in order
    this.view = null; // the elements, once the timeframes are known
    this.refresh = () => {}; // reads the overview at once
    this.live = null; // the events of all products
  }

  start() {
    document.addEventListener("keydown", event => this.press(event));
    this.live = new Live(
      { kinds: "close,indicator,forming" }, (kind, event) => this.take(kind, event), () => this.refresh());
    startFrame();
    this.refresh = repeat(() => this.read(), () => (this.live.isOpen ? POLL_WITH_STREAM_MS : POLL_MS));
  }

  press(event) {
    if (event.key !== "/" || !this.view || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) return;
    event.preventDefault();
    this.view.search.focus();
  }

  async read() {
    try {
      this.accept(await get("/v1/overview"));
    } catch (error) {
      if (!this.answer) this.element.textContent = error.message;
    }
  }

  accept(answer) {
    const nowS = answer.exchange_ms === null ? null : answer.exchange_ms / 1000;
    const base = answer.timeframes.find(t => t.name === BASE);
    for (const row of answer.products) {
      row.age = nowS === null || row.newest === null ? null : Math.max(0, nowS - row.newest - base.seconds);
      row.stale = !row.refused && isStale(row.newest, base.seconds, answer);
    }
    this.answer = answer;
    this.by = new Map(answer.products.map(row => [row.product, row]));
    this.update();
  }

  /** An event changes only its row; the next poll updates the rest. */
  take(kind, event) {
    const row = this.by.get(event.product);
    if (!row) return;
    if (kind === "indicator" && event.timeframe in row.latest
        && (row.latest[event.timeframe]?.start ?? 0) <= event.start) row.latest[event.timeframe] = event;
    if ((kind === "forming" || kind === "close") && event.timeframe === BASE && Number.isFinite(event.close)
        && event.start > (row.newest ?? 0)) row.price = event.close;
    this.view?.schedule(event.product);
  }

  searchFor(text) {
    this.search = text;
    this.toUrl();
    this.update();
  }

  sortBy(key) {
    this.down = key === this.sort ? !this.down : key !== "product";
    this.sort = key;
    this.toUrl();
    this.update();
  }

  toUrl() {
    const query = new URLSearchParams();
    if (this.search) query.set("q", this.search);
    if (this.sort !== "product" || this.down) query.set("sort", (this.down ? "-" : "") + this.sort);
    history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
  }

  /** Update the page to the answer, the search and the order. */
  update() {
    if (!this.answer) return;
    this.view ??= new View(this);
    this.rows = bySort(bySearch(this.answer.products, this.search), this.sort, this.down);
    this.view.showOrder();
    this.view.showCount();
    this.view.paint();
  }
}

/** The elements of an `OverviewPage`, built once, as soon as the timeframes are known. */
class View {
  constructor(page) {
    const { timeframes } = page.answer;
    this.page = page; // whose rows are shown
    this.timeframes = timeframes; // a column for each
    this.shown = new Map(); // rows in the document, by index
    this.changed = new Set(); // products whose rows must be refilled
    this.frame = null; // request of the frame that will refill them, or null
    const columns = [
      ["product", "Product"], ["price", "Price"], ["change", "24 h"],
      ...timeframes.map(t => [t.name, t.name]), ["age", "Age"],
    ];
    this.search = h("input", {
      type: "search", id: "search", placeholder: "Search", title: "Press / to search", "aria-label": "Search products",
      autocomplete: "off", spellcheck: "false", value: page.search, oninput: () => page.searchFor(this.search.value),
    });
    this.found = h("span", { class: "dim", role: "status", id: "found" });
    this.choice = h("select", {
      "aria-label": "Sort by", class: "narrow", onchange: () => page.sortBy(this.choice.value),
    }, columns.map(([key, name]) => h("option", { value: key, selected: key === page.sort }, `sort: ${name}`)));
    this.headings = new Map(columns.map(([key, name]) => [key,
      h("th", { scope: "col", class: `col-${columnClass(key)}` },
        h("button", { type: "button", onclick: () => page.sortBy(key), title: `Sort by ${name}` }, name))]));
    this.above = h("tr", { class: "spacer", "aria-hidden": "true" }, h("td"));
    this.below = h("tr", { class: "spacer", "aria-hidden": "true" }, h("td"));
    this.body = h("tbody", { onkeydown: event => this.moveFocus(event) }, this.above, this.below);
    this.table = h("table", { class: "market", "aria-label": "Products" },
      h("thead", {}, h("tr", {}, [...this.headings.values()])), this.body);
    this.empty = h("p", { class: "dim", hidden: true });
    page.element.replaceChildren(
      h("div", { class: "tools" }, this.search, this.choice, this.found, legend()), this.table, this.empty);
    addEventListener("scroll", () => this.schedule(), { passive: true });
    addEventListener("resize", () => this.schedule(), { passive: true });
  }

  /** Paint before the next frame; `product`: its row has changed. */
  schedule(product = null) {
    if (product !== null) this.changed.add(product);
    this.frame ??= requestAnimationFrame(() => { this.frame = null; this.paint(this.changed); });
  }

  /** Put the visible rows into the document. Of the rows that stay, only the `changed` ones (or all) are refilled. */
  paint(changed = true) {
    this.changed = new Set();
    const height = this.rowHeight();
    const top = this.body.getBoundingClientRect().top;
    const { rows, answer } = this.page;
    const total = rows.length;
    const first = Math.max(0, Math.min(total, Math.floor(-top / height) - SPARE));
    const last = Math.min(total, Math.ceil((innerHeight - top) / height) + SPARE);
    const spare = [];
    for (const [index, row] of this.shown) {
      if (index < first || index >= last) { spare.push(row); this.shown.delete(index); }
    }
    let before = this.above;
    for (let index = first; index < last; index++) {
      let row = this.shown.get(index);
      if (!row || changed === true || changed.has(rows[index].product)) {
        row ??= spare.pop() ?? new Row(this.timeframes);
        row.show(rows[index], index, answer);
        this.shown.set(index, row);
      }
      if (before.nextSibling !== row.element) before.after(row.element);
      before = row.element;
    }
    for (const row of spare) row.element.remove();
    this.above.firstChild.style.height = `${first * height}px`;
    this.below.firstChild.style.height = `${Math.max(0, total - last) * height}px`;
    this.table.setAttribute("aria-rowcount", total + 1);
  }

  rowHeight() {
    return parseFloat(getComputedStyle(this.table).getPropertyValue("--row")) || 40;
  }

  showOrder() {
    for (const [key, heading] of this.headings) {
      const order = key !== this.page.sort ? null : this.page.down ? "descending" : "ascending";
      if (order) heading.setAttribute("aria-sort", order); else heading.removeAttribute("aria-sort");
    }
    this.choice.value = this.page.sort;
  }

  showCount() {
    const found = this.page.rows.length, all = this.page.answer.products.length;
    setText(this.found, this.page.search ? `${count(found)} of ${count(all)} products` : `${count(all)} products`);
    this.empty.hidden = found > 0;
    setText(this.empty, all ? "No product matches the search." : "No products are followed yet.");
  }

  /** Arrow keys move from product to product, also to rows that are not in the document yet. */
  moveFocus(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = event.target.closest("tr[data-product]");
    if (!step || !row) return;
    event.preventDefault();
    const next = this.page.rows[Number(row.getAttribute("aria-rowindex")) - 2 + step];
    if (!next) return;
    const find = () => this.body.querySelector(`tr[data-product="${CSS.escape(next.product)}"] th a`);
    find()?.scrollIntoView({ block: "nearest" });
    this.paint(this.changed);
    find()?.focus({ preventScroll: false });
  }
}

/** One row of the table, reused for different products. */
class Row {
  constructor(timeframes) {
    this.link = h("a", {});
    this.under = h("span", { class: "under" });
    this.price = h("td", { class: "col-price" });
    this.change = h("td", { class: "col-change" });
    this.age = h("td", { class: "col-age" });
    this.cells = timeframes.map(timeframe => {
      const value = h("b"), stage = h("i");
      return { timeframe, value, stage, element: h("td", { class: "heat" }, h("a", { tabindex: -1 }, value, stage)) };
    });
    this.element = h("tr", {}, h("th", { scope: "row" }, this.link, this.under), this.price, this.change,
      this.cells.map(cell => cell.element), this.age);
  }

  show(row, index, answer) {
    this.element.setAttribute("aria-rowindex", index + 2);
    this.element.dataset.product = row.product;
    setText(this.link, row.product);
    this.link.setAttribute("href", productUrl(row.product));
    setText(this.price, price(row.price));
    setText(this.change, change(row.change));
    setText(this.under, row.refused ? "refused" : `${price(row.price)} ${change(row.change)}`);
    const direction = row.change > 0 ? "up" : row.change < 0 ? "down" : "";
    this.change.className = `col-change ${direction}`;
    this.under.className = `under ${direction}`;
    this.element.classList.toggle("refused", row.refused !== null);
    this.element.title = row.refused ? `Refused by the exchange: ${row.refused}` : "";
    setText(this.age, row.refused ? "refused" : duration(row.age));
    this.age.classList.toggle("bad", row.stale);
    for (const cell of this.cells) this.showCell(cell, row, answer);
  }

  showCell({ timeframe, value, stage, element }, row, answer) {
    const latest = row.latest[timeframe.name];
    setText(value, points(latest?.macdv, 0));
    setText(stage, latest?.stage ?? (latest ? "warming up" : ""));
    element.dataset.heat = heat(latest?.macdv);
    const stale = latest !== null && isStale(latest.start, timeframe.seconds, answer);
    element.classList.toggle("stale", stale);
    element.title = latest ? `${timeframe.name}: MACD-V ${points(latest.macdv)}, ${latest.stage ?? "no stage yet"}${stale ? ", out of date" : ""}` : "";
    element.firstChild.setAttribute("href", productUrl(row.product, timeframe.name));
  }
}

function columnClass(key) {
  return ["product", "price", "change", "age"].includes(key) ? key : "heat";
}

function legend() {
  const steps = [[-160, "below −150"], [-100, "−150 to −50"], [0, "−50 to 50"], [100, "50 to 150"], [160, "above 150"]];
  return h("span", { class: "legend", "aria-label": "Colours of the heat map, by MACD-V" },
    steps.map(([value, text]) => h("span", { "data-heat": heat(value), title: `MACD-V ${text}` }, points(value, 0))));
}

new OverviewPage(document.getElementById("page")).start();
