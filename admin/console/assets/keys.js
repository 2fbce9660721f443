// The tab API Keys.

import { at, call } from "./api.js";
import { deployment, id, isAdmin, showKeyCount } from "./deployment.js";
import { copyOf, copyOnClick, counted, localTime, show, toast, write, writeTime } from "./dom.js";
import { add, edit } from "./keydialog.js";
import { Listing } from "./listing.js";
import { Table } from "./table.js";

const section = document.getElementById("keys");

/** A key that ends within this many milliseconds ends soon. */
const soon = 7 * 24 * 3600 * 1000;

const allScopes = ["deploy", "airflow:read", "airflow:write"];

let admin = false, count;

const listing = new Listing(async (limit, cursor) => {
  const [answer] = await Promise.all([
    call("GET", at`/deployments/${id}/keys` + `?limit=${limit}` + (cursor && `&cursor=${encodeURIComponent(cursor)}`)),
    learn(),
  ]);
  return { items: answer.keys, next: answer.next_cursor };
}, (key) => key.id);

const table = new Table(section, listing, {
  row,
  words: (key) => `${key.name}\n${key.id}`,
  noun: "key",
  total: () => count,
});

function row(key) {
  const tr = write(copyOf("row"), {
    name: key.name,
    description: key.description,
    id: key.id,
    by: `by ${key.created_by}`,
    from: key.last_used_at ? lastFrom(key) : "",
  });
  tr.querySelector("[data-scopes]").append(...chips(key.scopes));
  writeTime(tr, "created", key.created_at);
  writeTime(tr, "used", key.last_used_at, "Never");
  writeTime(tr, "expires", key.expires_at, "Never");
  const [kind, status, limits] = statusOf(key, Date.now());
  write(tr, { status, limits }).querySelector(".badge").dataset.kind = kind;
  const copy = tr.querySelector("[data-copy]");
  copy.setAttribute("aria-label", `Copy the ID of ${key.name}`);
  copyOnClick(copy, () => key.id);
  show(tr, "[data-admin]", admin);
  const button = tr.querySelector('[data-action="edit"]');
  button.setAttribute("aria-label", `Edit ${key.name}`);
  button.addEventListener("click", () => change(key));
  return tr;
}

/** Most keys have all scopes, so that one which has not stands out. */
function chips(scopes) {
  const all = scopes.length === allScopes.length;
  return (all ? ["All"] : scopes).map((scope) => {
    const chip = document.createElement("span");
    chip.className = "chip";
    chip.textContent = scope;
    if (all) chip.title = scopes.join(", ");
    return chip;
  });
}

function lastFrom(key) {
  const address = key.last_used_at === key.last_request_at ? key.last_request_address : key.last_token_address;
  return address ? `from ${address}` : "";
}

function statusOf(key, now) {
  const ends = key.expires_at ? Date.parse(key.expires_at) : Infinity;
  if (ends <= now) return ["bad", "Expired"];
  if (key.previous_secret_expires_at) return ["warn", "Two secrets", `the old one until ${localTime(key.previous_secret_expires_at)}`];
  const blocks = key.allowed_ips ?? [];
  const limits = blocks.length === 0 ? "" : `from ${blocks.length === 1 ? blocks[0] : counted(blocks.length, "block")}`;
  if (ends - now < soon) return ["warn", "Expires soon", limits];
  return ["good", "Active", limits];
}

async function change(key) {
  const { changed, deleted } = await edit(key);
  if (deleted) {
    listing.remove(key.id);
    showKeyCount(--count);
    toast(`API Key ${key.name} is deleted.`);
  } else if (changed) {
    listing.replace(changed);
  }
  table.update();
  table.focus(key.id, '[data-action="edit"]');
}

document.getElementById("add").addEventListener("click", async () => {
  const made = await add(id);
  if (!made) return;
  showKeyCount(++count);
  table.add(made);
  table.focus(made.id, '[data-action="edit"]');
});

/** learn finds out what the user may do, once: that has to be known before there are rows. */
async function learn() {
  if (count !== undefined) return;
  const loaded = await deployment();
  admin = isAdmin(loaded);
  count = loaded.key_count;
}

await table.load();
