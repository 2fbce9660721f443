// The tab Members.

import { at, call, Refused } from "./api.js";
import { deployment, forbid, id, isAdmin } from "./deployment.js";
import { confirm, open } from "./dialog.js";
import { copyOf, toast, write, writeTime } from "./dom.js";
import { Listing } from "./listing.js";
import { Table } from "./table.js";

const section = document.getElementById("members");
const self = document.documentElement.dataset.user;

const listing = new Listing(async () => {
  const loaded = await deployment();
  if (!isAdmin(loaded)) throw new Refused(403, "");
  return { items: (await call("GET", at`/deployments/${id}/members`)).members };
}, (member) => member.user);

const table = new Table(section, listing, { row, words: (member) => member.user, noun: "member" });

function row(member) {
  const tr = write(copyOf("row"), { user: member.user, by: `by ${member.created_by}` });
  writeTime(tr, "created", member.created_at);
  const role = tr.querySelector("[data-role]");
  role.value = member.role;
  role.setAttribute("aria-label", `Role of ${member.user}`);
  role.addEventListener("change", () => change(member, role));
  const button = tr.querySelector('[data-action="remove"]');
  button.setAttribute("aria-label", `Remove ${member.user}`);
  button.addEventListener("click", () => remove(member));
  return tr;
}

const put = (user, role) => call("PUT", at`/deployments/${id}/members/${user}`, { role });

async function change(member, select) {
  const role = select.value;
  try {
    if (member.user === self && !await confirm({
      title: "Change your own role?",
      text: `You are an admin here. As ${role} you cannot take this back: another admin has to.`,
      button: "Change my role",
      run: () => put(member.user, role),
    })) {
      select.value = member.role;
      return;
    }
    const changed = member.user === self ? { ...member, role } : await put(member.user, role);
    listing.replace(changed);
    toast(`${member.user} is ${role} now.`);
    if (member.user === self) location.reload();
  } catch (error) {
    select.value = member.role;
    toast(error.message);
  }
  table.update();
  table.focus(member.user, "[data-role]");
}

async function remove(member) {
  const done = await confirm({
    title: `Remove ${member.user}?`,
    text: member.user === self
      ? "That is you. You will not see this Deployment any more, and another admin has to add you again."
      : "They will not see this Deployment any more, and their token is refused there at once. Keys that they made stay.",
    button: "Remove",
    run: () => call("DELETE", at`/deployments/${id}/members/${member.user}`),
  });
  if (!done) return;
  if (member.user === self) {
    location.replace("/deployments");
    return;
  }
  listing.remove(member.user);
  table.update();
  document.getElementById("add").focus();
  toast(`${member.user} is no member any more.`);
}

document.getElementById("add").addEventListener("click", async () => {
  const made = await open("member-dialog", {
    submit: async (form) => {
      const user = form.elements.user.value;
      if (listing.items.some((member) => member.user === user)) throw new Refused(409, `${user} is a member already: change the role in the list.`);
      return put(user, form.elements.role.value);
    },
  });
  if (!made) return;
  table.add(made);
  table.focus(made.user, "[data-role]");
  toast(`${made.user} is ${made.role} now.`);
});

await table.load();
try {
  const loaded = await deployment();
  if (!isAdmin(loaded)) forbid(section, loaded);
} catch {
  // The table has said why.
}
