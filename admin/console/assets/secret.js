// The one time that a secret is shown.

import { open } from "./dialog.js";
import { copyOnClick, localTime, write } from "./dom.js";

/**
 * showSecret shows the ID and the secret of a key until the user says that the secret is saved. Then it is gone from the
 * page: it is in the dialog alone, which goes with it, and in no history, storage or address.
 */
export async function showSecret(key, secret, title) {
  let dialog;
  // Who goes elsewhere loses the secret, so the browser asks; and a page that is kept for the way back must not have it.
  const leaving = (event) => event.preventDefault();
  const left = () => dialog?.remove();
  const saved = () => {
    removeEventListener("beforeunload", leaving);
    removeEventListener("pagehide", left);
    if (dialog) write(dialog, { secret: "" });
  };
  addEventListener("beforeunload", leaving);
  addEventListener("pagehide", left);
  try {
    await open("secret-dialog", {
      locked: true,
      // In the very click: the user may go on before the browser has told that the dialog is closed.
      submit: () => { saved(); return true; },
      prepare: (form) => {
        dialog = form.closest("dialog");
        write(form, {
          title: `${title}: ${key.name}`,
          id: key.id,
          secret,
          overlap: key.previous_secret_expires_at ? `The secret of until now works until ${localTime(key.previous_secret_expires_at)}.` : "",
        });
        const texts = {
          id: key.id,
          secret,
          both: `DEPLOYMENT_KEY_ID=${key.id}\nDEPLOYMENT_KEY_SECRET=${secret}\n`,
        };
        for (const button of form.querySelectorAll("[data-copy]")) copyOnClick(button, () => texts[button.dataset.copy]);
      },
    });
  } finally {
    saved();
  }
}
