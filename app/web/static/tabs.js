// The timeframes as tabs, for the mouse and the keyboard.

import { h } from "./dom.js";

export class Tabs {
  /** `onChoose(name)`: the reader has chosen the timeframe with this name. */
  constructor(onChoose) {
    this.onChoose = onChoose; // called with each choice
    this.timeframes = []; // those on offer; none until the API has named them
    this.selected = null; // the one that is shown
    this.element = h("div", {
      class: "tabs", role: "tablist", "aria-label": "Timeframe", onkeydown: event => this.move(event),
    }); // contains a tab for each timeframe
  }

  offer(timeframes) {
    this.timeframes = timeframes;
    this.element.replaceChildren(...timeframes.map(({ name }) => h("button", {
      type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel", onclick: () => this.onChoose(name),
    }, name)));
  }

  /** The timeframe with this name, else the first; undefined while none is on offer. */
  find(name) {
    return this.timeframes.find(timeframe => timeframe.name === name) ?? this.timeframes[0];
  }

  select(timeframe) {
    this.selected = timeframe;
    for (const tab of this.element.children) {
      const isSelected = tab.id === `tab-${timeframe.name}`;
      tab.setAttribute("aria-selected", isSelected);
      tab.tabIndex = isSelected ? 0 : -1;
    }
  }

  move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || !this.selected) return;
    event.preventDefault();
    const count = this.timeframes.length;
    const index = (this.timeframes.indexOf(this.selected) + step + count) % count;
    this.onChoose(this.timeframes[index].name);
    this.element.children[index].focus();
  }
}
