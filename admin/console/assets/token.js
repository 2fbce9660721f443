// The page of the user's own token.

import { call, personalToken } from "./api.js";
import { copyOnClick, state, write, writeTime } from "./dom.js";
import { address, airflowOf, forUsers, gatewayOf, Snippets } from "./snippets.js";

const section = document.getElementById("token"), example = document.getElementById("call");
const deployment = example.querySelector('[name="deployment"]'), airflow = example.querySelector('[name="airflow"]');
const snippets = new Snippets();

let token = "", gateway = "";

async function load() {
  state(section, "loading");
  try {
    const me = await call("GET", "/me");
    if (me.token_endpoint === "") {
      throw new Error("Nobody is signed in to this console, because of insecure_no_auth. Put basic_auth, or another directive that signs users in, in front of deployment_console.");
    }
    gateway = gatewayOf(me);
    const answer = await personalToken();
    token = answer.access_token;
    write(section, { token });
    writeTime(section, "expires", Date.now() + answer.expires_in * 1000);
    state(section, "shown");
    await showExample();
  } catch (error) {
    token = "";
    write(section, { error: error.message, token });
    state(section, "error");
  }
}

async function showExample() {
  const [list] = await Promise.all([
    call("GET", "/deployments?limit=100"),
    snippets.load(document.getElementById("snippets"), forUsers),
  ]);
  document.getElementById("known").replaceChildren(...list.deployments.map(({ id, name }) => {
    const option = document.createElement("option");
    option.value = id;
    option.label = name;
    return option;
  }));
  if (deployment.value === "") deployment.value = list.deployments[0]?.id ?? "";
  example.hidden = false;
  choose();
}

function choose() {
  airflow.value = airflowOf(gateway, deployment.value.trim() || "DEPLOYMENT");
  fill();
}

function fill() {
  const at = address(airflow.value);
  airflow.ariaInvalid = String(!at);
  if (at) snippets.fill({ gateway, airflow: at, deployment: deployment.value });
}

deployment.addEventListener("input", choose);
airflow.addEventListener("input", fill);
copyOnClick(section.querySelector('[data-action="copy"]'), () => token);
section.querySelector('[data-action="retry"]').addEventListener("click", load);
document.addEventListener("reachable", () => { if (token === "") load(); });

// A page that the browser keeps for the way back does not keep the token.
addEventListener("pagehide", () => {
  token = "";
  write(section, { token });
});
addEventListener("pageshow", (event) => { if (event.persisted) load(); });

await load();
