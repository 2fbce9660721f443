// The tab Connect.

import { call } from "./api.js";
import { deployment, id } from "./deployment.js";
import { state, write } from "./dom.js";
import { address, airflowOf, forKeys, gatewayOf, Snippets } from "./snippets.js";

const section = document.getElementById("connect");
const gateway = section.querySelector('[name="gateway"]'), airflow = section.querySelector('[name="airflow"]');
const snippets = new Snippets();

function fill() {
  const addresses = { gateway: address(gateway.value), airflow: address(airflow.value) };
  gateway.ariaInvalid = String(!addresses.gateway);
  airflow.ariaInvalid = String(!addresses.airflow);
  if (addresses.gateway && addresses.airflow) snippets.fill({ ...addresses, deployment: id });
}

gateway.addEventListener("input", fill);
airflow.addEventListener("input", fill);

async function load() {
  try {
    const [me] = await Promise.all([call("GET", "/me"), deployment()]);
    await snippets.load(document.getElementById("snippets"), forKeys);
    gateway.value = gatewayOf(me);
    airflow.value = airflowOf(gateway.value, id);
    fill();
    state(section, "shown");
  } catch (error) {
    write(section, { error: error.message });
    state(section, "error");
  }
}

section.querySelector('[data-action="retry"]').addEventListener("click", load);
document.addEventListener("reachable", load);
await load();
