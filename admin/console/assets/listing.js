// A list of the API, read as far as it is looked at.

/** The most that one request may ask for, and the most that is read to search in, as the API allows keys of a Deployment. */
const mostAtOnce = 500, mostInAll = 100_000;

/** Listing keeps what was read of a list. */
export class Listing {
  #read; #next = ""; #pending = null;

  /** All items that are known, in order: those that were made here first, then as the API has them. */
  items = [];

  /** Whether items is all there is. */
  complete = false;

  #added = new Set();

  /** read(limit, cursor) returns {items, next}; id(item) names an item. */
  constructor(read, id) {
    this.#read = read;
    this.id = id;
  }

  /** upTo reads on until n items are known, or all. */
  async upTo(n) {
    while (!this.complete && this.items.length < n) {
      this.#pending ??= this.#more(Math.min(n - this.items.length, mostAtOnce)).finally(() => { this.#pending = null; });
      await this.#pending;
    }
  }

  /** all reads on to the end, and calls progress after each step until that returns false. */
  async all(progress) {
    while (!this.complete && this.items.length < mostInAll) {
      await this.upTo(this.items.length + mostAtOnce);
      if (!progress()) return;
    }
  }

  async #more(limit) {
    const { items, next } = await this.#read(limit, this.#next);
    this.items.push(...items.filter((item) => !this.#added.has(this.id(item))));
    this.#next = next ?? "";
    this.complete = this.#next === "";
  }

  /** add puts a new item before all others, or in the place of one that has its ID. */
  add(item) {
    const place = this.items.findIndex((other) => this.id(other) === this.id(item));
    if (place >= 0) {
      this.items[place] = item;
      return;
    }
    this.items.unshift(item);
    this.#added.add(this.id(item));
  }

  /** replace puts an item in the place of one that has its ID. */
  replace(item) {
    const place = this.items.findIndex((other) => this.id(other) === this.id(item));
    if (place >= 0) this.items[place] = item;
  }

  remove(id) {
    this.items = this.items.filter((item) => this.id(item) !== id);
  }
}
