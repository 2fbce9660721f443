// The settings of a Deployment.

import { at, call } from "./api.js";
import { confirm, deed, open } from "./dialog.js";
import { counted, toast } from "./dom.js";

/** edit lets an admin change a Deployment. It returns the Deployment as it is then, or nothing if it was left as it was. */
export async function edit(deployment) {
  const path = at`/deployments/${deployment.id}`;
  return open("settings-dialog", {
    prepare: (form, close) => {
      form.elements.name.value = deployment.name;
      form.elements.description.value = deployment.description;
      deed(form, "end-tokens", async () => {
        const done = await confirm({
          title: `End all tokens of ${deployment.name}?`,
          text: "Every access token of this Deployment's keys that was issued until now stops working, at once.",
          effects: ["Jobs that run now fail, unless they get a new token by themselves.", "The keys stay, and get new tokens."],
          button: "End tokens",
          run: () => call("POST", path + "/revoke_tokens"),
        });
        if (!done) return;
        toast("All tokens issued until now are ended.");
        close();
      });
      deed(form, "delete", async () => {
        // The count may be older than this page.
        const now = await call("GET", path);
        const done = await confirm({
          title: `Delete ${now.name}?`,
          text: "This cannot be undone. At once:",
          effects: [
            `Its ${counted(now.key_count, "API Key")} and all access tokens stop working: deploys, and calls of its Airflow API, are refused.`,
            "Its members cannot reach it any more.",
          ],
          typed: now.id,
          button: "Delete Deployment",
          run: () => call("DELETE", path),
        });
        if (done) location.replace("/deployments");
      });
    },
    submit: async (form) => {
      const changed = await call("PATCH", path, { name: form.elements.name.value, description: form.elements.description.value });
      toast("Saved.");
      return { ...deployment, ...changed };
    },
  });
}
