// The page of all Deployments.

import { at, call } from "./api.js";
import { open } from "./dialog.js";
import { copyOf, toast, write, writeTime } from "./dom.js";
import { Listing } from "./listing.js";
import { Table } from "./table.js";

const listing = new Listing(async (limit, cursor) => {
  const answer = await call("GET", `/deployments?limit=${limit}` + (cursor && `&cursor=${encodeURIComponent(cursor)}`));
  return { items: answer.deployments, next: answer.next_cursor };
}, (deployment) => deployment.id);

function row(deployment) {
  const tr = write(copyOf("row"), {
    description: deployment.description,
    id: deployment.id,
    keys: deployment.key_count.toLocaleString("en"),
    role: deployment.role,
  });
  const link = tr.querySelector("[data-link]");
  link.textContent = deployment.name;
  link.href = at`/deployments/${deployment.id}`;
  writeTime(tr, "created", deployment.created_at);
  return tr;
}

const table = new Table(document.getElementById("deployments"), listing, {
  row,
  words: (deployment) => `${deployment.name}\n${deployment.id}`,
  noun: "Deployment",
});

document.getElementById("create")?.addEventListener("click", async () => {
  const made = await open("create-dialog", {
    submit: async (form) => {
      const { name, id, description } = form.elements;
      const body = { name: name.value, description: description.value };
      if (id.value !== "") body.id = id.value;
      return call("POST", "/deployments", body);
    },
  });
  if (!made) return;
  table.add({ role: "admin", ...made });
  table.focus(made.id, "a");
  toast(`Deployment ${made.name} is made.`);
});

await table.load();
