// A list in a page: its table, its search, its pages, and what stands in its place when there is none.

import { counted, state, write } from "./dom.js";

/** How many rows a page has. */
const pageSize = 50;

/** Table shows a Listing in a section.list. */
export class Table {
  #section; #listing; #row; #words; #noun; #total; #page = 0; #loads = 0; #query = ""; #fresh = new Set();

  /**
   *   row(item)    makes the row of an item
   *   words(item)  is what a search looks into
   *   noun         of one item: "key"
   *   total()      is how many there are, where that is known before all are read
   */
  constructor(section, listing, { row, words = () => "", noun, total = () => undefined }) {
    this.#section = section;
    this.#listing = listing;
    this.#row = row;
    this.#words = words;
    this.#noun = noun;
    this.#total = total;
    section.querySelector('[data-action="previous"]').addEventListener("click", () => this.#turn(-1));
    section.querySelector('[data-action="next"]').addEventListener("click", () => this.#turn(1));
    section.querySelector('[data-action="retry"]').addEventListener("click", () => this.load());
    section.querySelector('input[type="search"]')?.addEventListener("input", (event) => this.#search(event.target.value));
    document.addEventListener("reachable", () => {
      if (!section.querySelector('[data-state="error"]').hidden) this.load();
    });
  }

  /** load reads what the page in view needs, and shows it. */
  async load() {
    // Of several that are under way, the last one shows what it has.
    const load = ++this.#loads, last = () => load === this.#loads;
    this.#section.ariaBusy = "true";
    try {
      // One more than is in view, to know whether there is a next page.
      if (this.#query === "") await this.#listing.upTo((this.#page + 1) * pageSize + 1);
      else await this.#readAll(last);
      if (last()) this.#show();
    } catch (error) {
      if (last()) this.#fail(error);
    } finally {
      if (last()) this.#section.ariaBusy = "false";
    }
  }

  /** update shows what the listing has now, after a change. */
  update() {
    this.#show();
  }

  /** add shows a new item at the top, marked. */
  add(item) {
    this.#listing.add(item);
    this.#fresh.add(this.#listing.id(item));
    this.#page = 0;
    this.#show();
  }

  /** focus puts the focus on a button in the row of an item; where there is none, on the table's section. */
  focus(id, selector) {
    const row = [...this.#body().rows].find((row) => row.dataset.id === id);
    const target = row?.querySelector(selector) ?? this.#section;
    if (target === this.#section) target.tabIndex = -1;
    target.focus();
  }

  #body() {
    return this.#section.querySelector("tbody");
  }

  #matching() {
    if (this.#query === "") return this.#listing.items;
    return this.#listing.items.filter((item) => this.#words(item).toLowerCase().includes(this.#query));
  }

  async #turn(by) {
    this.#page += by;
    await this.load();
    // The button that was pressed may have nowhere to go on to.
    const buttons = [...this.#section.querySelectorAll(".pager button")];
    if (by > 0) buttons.reverse();
    buttons.find((button) => !button.disabled)?.focus({ preventScroll: true });
    this.#section.scrollIntoView({ block: "start" });
  }

  async #search(text) {
    this.#query = text.trim().toLowerCase();
    this.#page = 0;
    await this.load();
  }

  /** #readAll reads the whole list for a search, as long as it is wanted, and shows what it has found on the way. */
  async #readAll(wanted) {
    await this.#listing.all(() => {
      if (wanted() && !this.#listing.complete) this.#show(true);
      return wanted();
    });
  }

  #show(searching = false) {
    const found = this.#matching();
    // What was on the last page may be gone.
    this.#page = Math.max(0, Math.min(this.#page, Math.ceil(found.length / pageSize) - 1));
    const first = this.#page * pageSize, items = found.slice(first, first + pageSize);
    const table = this.#section.querySelector("table");
    this.#body().replaceChildren(...items.map((item) => {
      const row = this.#row(item), id = this.#listing.id(item);
      row.dataset.id = id;
      row.classList.toggle("fresh", this.#fresh.has(id));
      return row;
    }));
    table.hidden = items.length === 0;
    const search = this.#section.querySelector(".search");
    if (search) search.hidden = items.length === 0 && this.#query === ""; // there is nothing to search in
    if (items.length > 0) state(this.#section, "");
    else if (this.#query === "") state(this.#section, "empty");
    else state(this.#section, searching ? "loading" : "nothing");
    this.#say(found.length, first, items.length, searching);
  }

  #say(found, first, shown, searching) {
    const total = this.#listing.complete ? this.#listing.items.length : this.#total();
    let count = total === undefined ? "" : counted(total, this.#noun);
    if (this.#query !== "") {
      count = `${found.toLocaleString("en")} of ${count || counted(this.#listing.items.length, this.#noun)}`;
      if (searching) count += ", searching…";
      else if (!this.#listing.complete) count = `${found.toLocaleString("en")} of the first ${counted(this.#listing.items.length, this.#noun)}`;
    }
    const of = this.#query === "" ? total : found;
    const range = `${(first + 1).toLocaleString("en")}–${(first + shown).toLocaleString("en")}${of === undefined ? "" : ` of ${of.toLocaleString("en")}`}`;
    write(this.#section, { words: this.#query, count: shown > 0 || this.#query !== "" ? count : "", range });
    const pager = this.#section.querySelector(".pager");
    const more = found > first + shown || (this.#query === "" && !this.#listing.complete);
    pager.hidden = first === 0 && !more;
    pager.querySelector('[data-action="previous"]').disabled = first === 0;
    pager.querySelector('[data-action="next"]').disabled = !more;
  }

  #fail(error) {
    this.#section.querySelector("table").hidden = true;
    this.#section.querySelector(".pager").hidden = true;
    write(this.#section, {
      "error-title": error.status === 404 ? "There is nothing here" : "This could not be loaded",
      error: error.message, forbidden: error.message, count: "",
    });
    state(this.#section, error.status === 403 ? "forbidden" : "error");
  }
}
