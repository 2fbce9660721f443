// What all tabs of a Deployment's page have: its name, what the user may do in it, and its settings.

import { at, call } from "./api.js";
import { show, state, write } from "./dom.js";
import { edit } from "./settings.js";

const root = document.getElementById("deployment");

/** id is that of the Deployment in view. */
export const id = root.dataset.deployment;

let loading;

/** deployment is a promise of it, as the API has it; its role is that of the user. When it failed, the next call asks again. */
export function deployment() {
  loading ??= load();
  return loading;
}

async function load() {
  try {
    const loaded = await call("GET", at`/deployments/${id}`);
    showDeployment(loaded);
    return loaded;
  } catch (error) {
    loading = undefined;
    throw error;
  }
}

/** isAdmin says whether the user may manage keys and members. */
export const isAdmin = (loaded) => loaded.role === "admin";

function showDeployment(loaded) {
  write(root, { name: loaded.name, description: loaded.description });
  document.title = `${loaded.name} · Deployment Keys`;
  showKeyCount(loaded.key_count);
  show(root, "[data-admin]", isAdmin(loaded));
  show(root, "[data-others]", !isAdmin(loaded));
  document.getElementById("settings").hidden = !isAdmin(loaded);
}

/** showKeyCount says how many keys it has. */
export function showKeyCount(count) {
  write(root, { "key-count": count.toLocaleString("en") });
}

/** forbid shows that a tab is for admins, where its list would stand. */
export function forbid(section, loaded) {
  write(section, { forbidden: `You are ${loaded.role} in this Deployment. Its admins can see this.` });
  state(section, "forbidden");
}

document.getElementById("settings").addEventListener("click", async () => {
  const changed = await edit(await deployment());
  if (!changed) return;
  showDeployment(changed);
  loading = Promise.resolve(changed);
});
