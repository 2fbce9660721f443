// The tab Audit.

import { at, call, Refused } from "./api.js";
import { deployment, forbid, id, isAdmin } from "./deployment.js";
import { copyOf, write, writeTime } from "./dom.js";
import { describe } from "./events.js";
import { Listing } from "./listing.js";
import { Table } from "./table.js";

const section = document.getElementById("audit");

const listing = new Listing(async (limit, cursor) => {
  const loaded = await deployment();
  if (!isAdmin(loaded)) throw new Refused(403, "");
  const answer = await call("GET", at`/deployments/${id}/audit` + `?limit=${limit}` + (cursor && `&cursor=${encodeURIComponent(cursor)}`));
  return { items: answer.events, next: answer.next_cursor };
}, (event) => String(event.seq));

function row(event) {
  const { what, details } = describe(event);
  const tr = write(copyOf("row"), { what, details, who: event.by ?? "", from: event.address ?? "" });
  writeTime(tr, "time", event.time);
  return tr;
}

const table = new Table(section, listing, { row, noun: "event" });
await table.load();
try {
  const loaded = await deployment();
  const link = document.getElementById("export"); // only administrators have it
  if (link) link.hidden = listing.items.length === 0;
  if (!isAdmin(loaded)) forbid(section, loaded);
} catch {
  // The table has said why.
}
