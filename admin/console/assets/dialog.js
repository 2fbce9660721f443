// Dialogs: native ones, each a copy of its <template>, that is in the page only while it is open.

import { copyOf, write } from "./dom.js";

/**
 * open shows a dialog, and returns a promise of what it closes with: undefined when it was cancelled.
 *
 *   prepare(form, close)  fills it in before it is shown; close(result) closes it
 *   submit(form)          does what the dialog is for, and returns what it closes with; what it throws is shown, and
 *                         the dialog stays. Without one, the dialog closes with true
 *   locked                there is no way out but the button
 */
export function open(template, { prepare, submit, locked = false } = {}) {
  const dialog = copyOf(template);
  const form = dialog.querySelector("form");
  const opener = document.activeElement;
  return new Promise((resolve) => {
    let result, finished = false;
    const close = (value) => {
      result = value;
      finished = true;
      dialog.close();
    };
    dialog.addEventListener("close", () => {
      if ((locked || form.dataset.busy) && !finished) {
        // The browser has closed it by itself, which it may after the second try. What is under way may
        // have a secret for an answer.
        dialog.showModal();
        return;
      }
      const toast = dialog.querySelector("#toast");
      if (toast) document.body.append(toast);
      dialog.remove();
      if (opener?.isConnected) opener.focus();
      resolve(result);
    });
    dialog.addEventListener("cancel", (event) => {
      if (locked || form.dataset.busy) event.preventDefault();
    });
    if (locked) {
      dialog.addEventListener("keydown", (event) => {
        if (event.key === "Escape") event.preventDefault();
      });
    } else {
      // A click beside it closes it, if nothing was typed that would be lost.
      let changed = false;
      form.addEventListener("input", () => { changed = true; });
      dialog.addEventListener("pointerdown", (event) => {
        if (event.target === dialog && !changed && !form.dataset.busy) close();
      });
    }
    dialog.querySelector('[data-action="cancel"]')?.addEventListener("click", () => close());
    form.addEventListener("input", (event) => event.target.removeAttribute("aria-invalid"));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (form.dataset.busy || !valid(form)) return;
      try {
        close(submit ? await busy(form, () => submit(form)) : true);
      } catch (error) {
        problem(form, error.message);
      }
    });
    prepare?.(form, close);
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** deed makes a button of an open dialog do something of its own. What it throws is shown in the dialog. */
export function deed(form, action, run) {
  form.querySelector(`[data-action="${action}"]`)?.addEventListener("click", async () => {
    if (form.dataset.busy) return;
    try {
      await busy(form, run);
    } catch (error) {
      problem(form, error.message);
    }
  });
}

/**
 * confirm asks before something that cannot be undone, and does it. It returns whether it was done.
 *
 *   title, text, button   what it says
 *   effects               what will happen, a line each
 *   typed                 what has to be typed first; nothing when there is none
 *   run()                 does it
 */
export async function confirm({ title, text, effects = [], typed, button, run }) {
  const prepare = (form) => {
    write(form, { title, text, button, typed });
    const list = form.querySelector(".effects");
    list.hidden = effects.length === 0;
    list.append(...effects.map((effect) => {
      const line = document.createElement("li");
      line.textContent = effect;
      return line;
    }));
    if (typed === undefined) return;
    const field = form.elements.typed, submit = form.querySelector('[type="submit"]');
    form.querySelector("[data-typed]").hidden = false;
    const check = () => { submit.disabled = plain(field.value) !== plain(typed); };
    field.addEventListener("input", check);
    check();
    form.querySelector("[autofocus]").removeAttribute("autofocus");
    field.autofocus = true;
  };
  const done = await open("confirm-dialog", { prepare, submit: async () => { await run(); return true; } });
  return done === true;
}

/** plain is a text as people type it: spaces and compositions of characters do not matter. */
const plain = (text) => text.normalize("NFC").trim().replaceAll(/\s+/g, " ");

/** busy keeps a form from being used while something runs. */
async function busy(form, run) {
  const buttons = [...form.querySelectorAll("button")].filter((button) => !button.disabled);
  const focused = document.activeElement;
  form.dataset.busy = "true";
  form.querySelector(".problem").hidden = true;
  for (const button of buttons) { button.disabled = true; button.setAttribute("aria-busy", "true"); }
  try {
    return await run();
  } finally {
    delete form.dataset.busy;
    for (const button of buttons) { button.disabled = false; button.removeAttribute("aria-busy"); }
    if (focused?.isConnected && form.contains(focused)) focused.focus();
  }
}

export function problem(form, text) {
  const place = form.querySelector(".problem");
  place.textContent = text;
  place.hidden = false;
  place.scrollIntoView({ block: "nearest" });
}

/** valid says what is wrong with the first field that has something wrong, and takes the user to it. */
function valid(form) {
  const field = [...form.elements].find((element) => element.willValidate && !element.checkValidity());
  if (!field) return true;
  const label = field.labels?.[0]?.firstChild?.textContent.trim();
  problem(form, field.validity.valueMissing && label ? `${label} is missing.` : field.dataset.wrong ?? field.validationMessage);
  field.setAttribute("aria-invalid", "true");
  field.focus();
  return false;
}
