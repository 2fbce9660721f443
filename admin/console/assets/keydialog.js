// Adding a key, and all that can be done with one.

import { at, call } from "./api.js";
import { confirm, deed, open } from "./dialog.js";
import { localTime, show, toast, write, writeTime } from "./dom.js";
import { showSecret } from "./secret.js";

/** add makes a key of a Deployment and shows its secret. It returns the key without it, or nothing when there is none. */
export async function add(deployment) {
  let secret;
  const key = await open("key-dialog", {
    prepare: (form) => {
      write(form, { title: "Add API Key", button: "Create API Key" });
      prepareExpiry(form);
    },
    submit: async (form) => {
      const fields = read(form);
      for (const name of ["expires_at", "allowed_ips"]) if (!fields[name]?.length) delete fields[name];
      const { secret: made, ...rest } = await call("POST", at`/deployments/${deployment}/keys`, fields);
      secret = made;
      return rest;
    },
  });
  if (!key) return undefined;
  const shown = showSecret(key, secret, "Your new API Key");
  secret = undefined;
  await shown;
  return key;
}

/** edit changes a key in one of many ways. It returns {changed}, the key as it is then, or {deleted: true}, or neither. */
export async function edit(key) {
  const path = at`/deployments/${key.deployment_id}/keys/${key.id}`;
  let now = key, deleted = false, rotated, shown;
  await open("key-dialog", {
    prepare: (form, close) => {
      fill(form, key);
      shown = read(form);
      deed(form, "rotate", async () => {
        rotated = await rotate(now, path);
        if (rotated) close();
      });
      deed(form, "end-previous", async () => {
        await call("DELETE", path + "/previous_secret");
        now = await call("GET", path);
        toast("The previous secret has stopped working.");
        show(form, "[data-previous]", false);
        form.elements.name.focus();
      });
      deed(form, "end-tokens", async () => {
        const done = await confirm({
          title: `End the tokens of ${now.name}?`,
          text: "Every access token that this key was given until now stops working, at once. The key stays, and gets new ones.",
          button: "End tokens",
          run: () => call("POST", path + "/revoke_tokens"),
        });
        if (!done) return;
        now = await call("GET", path);
        toast(`The tokens of ${now.name} are ended.`);
      });
      deed(form, "delete", async () => {
        deleted = await remove(path);
        if (deleted) close();
      });
    },
    submit: async (form) => {
      // Only what was changed here: the list may be old, and somebody may have limited the key since.
      const changed = Object.entries(read(form)).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(shown[name]));
      now = await call("PATCH", path, Object.fromEntries(changed));
      toast("Saved.");
      return now;
    },
  });
  if (rotated) {
    const { secret, ...rest } = rotated;
    rotated = undefined;
    await showSecret(rest, secret, "The new secret");
    now = rest;
  }
  return { deleted, changed: !deleted && now !== key ? now : undefined };
}

function fill(form, key) {
  write(form, { title: `Edit ${key.name}`, button: "Save", id: key.id });
  show(form, "[data-edit]");
  show(form, "[data-previous]", Boolean(key.previous_secret_expires_at));
  writeTime(form, "previous", key.previous_secret_expires_at);
  write(form, { "previous-used": key.previous_secret_last_used_at ? `It was last used ${localTime(key.previous_secret_last_used_at)}.` : "" });
  const { name, description, ips, scopes, expiry } = form.elements;
  name.value = key.name;
  description.value = key.description;
  ips.value = (key.allowed_ips ?? []).join("\n");
  for (const box of scopes) box.checked = key.scopes.includes(box.value);
  if (key.expires_at) {
    const keep = expiry.querySelector('[value="keep"]');
    keep.textContent = localTime(key.expires_at);
    keep.hidden = false;
    expiry.value = "keep";
  }
  prepareExpiry(form);
}

function prepareExpiry(form) {
  const { expiry, date } = form.elements;
  expiry.addEventListener("change", () => {
    const choose = expiry.value === "date";
    show(form, "[data-date]", choose);
    date.required = choose;
    if (choose) date.focus();
  });
  for (const box of form.elements.scopes) {
    box.addEventListener("change", () => checkScopes(form));
  }
}

function checkScopes(form) {
  const [first, ...rest] = form.elements.scopes;
  const none = ![first, ...rest].some((box) => box.checked);
  first.setCustomValidity(none ? "Choose at least one scope." : "");
}

/** read is what a form says of a key, as the API takes it. An expiry that stays is left out. */
function read(form) {
  const { name, description, ips, scopes, expiry, date } = form.elements;
  const fields = {
    name: name.value,
    description: description.value,
    scopes: [...scopes].filter((box) => box.checked).map((box) => box.value),
    allowed_ips: ips.value.split(/[\s,]+/).filter((line) => line !== ""),
  };
  if (expiry.value === "") fields.expires_at = "";
  else if (expiry.value === "date") fields.expires_at = inSeconds(new Date(date.value));
  else if (expiry.value !== "keep") fields.expires_at = inSeconds(new Date(Date.now() + expiry.value * 24 * 3600 * 1000));
  return fields;
}

const inSeconds = (time) => time.toISOString().replace(/\.\d+/, "");

async function rotate(key, path) {
  return open("rotate-dialog", {
    prepare: (form) => {
      write(form, { name: key.name });
      show(form, "[data-previous]", Boolean(key.previous_secret_expires_at));
    },
    submit: (form) => call("POST", path + "/rotate", { overlap: form.elements.overlap.value, revoke_tokens: form.elements.revoke.checked }),
  });
}

async function remove(path) {
  // When it was last used decides, so that is asked for anew.
  const key = await call("GET", path);
  return confirm({
    title: `Delete ${key.name}?`,
    text: "This cannot be undone. At once:",
    effects: [
      `Jobs with the key ${key.id} get no more access tokens.`,
      "The access tokens that they have stop working: deploys, and calls of the Airflow API, are refused.",
      key.last_used_at ? `The key was last used ${localTime(key.last_used_at)}.` : "The key has never been used.",
    ],
    typed: key.name,
    button: "Delete API Key",
    run: () => call("DELETE", path),
  });
}
