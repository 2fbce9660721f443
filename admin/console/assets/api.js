// What the pages say to the gateway, and what it means when there is no good answer.

/** Refused is an answer that is no success. status is that of HTTP, and 0 when there was no answer. */
export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** A request that takes longer has failed. */
const patience = 30_000;

/**
 * at is a path with values in it: at`/deployments/${id}/keys`. Each value becomes one segment, whatever it is; its dots are
 * written in a way that leaves names such as .hidden alone. A name that is nothing but one or two dots cannot be a segment.
 */
export function at(texts, ...values) {
  return texts.reduce((path, text, i) => path + segment(values[i - 1]) + text);
}

function segment(value) {
  if (value === "." || value === "..") {
    throw new Refused(400, `“${value}” cannot be in an address: use the command line for it`);
  }
  return encodeURIComponent(value).replaceAll(".", "%2E");
}

/** call sends a request to the API and returns the JSON of its answer, or null when that is empty. It throws Refused. */
export async function call(method, path, body) {
  return send(method, "/api" + path, body);
}

/** personalToken has a token of the user made. It throws Refused. */
export async function personalToken() {
  return send("POST", "/token");
}

async function send(method, path, body) {
  const options = {
    method,
    cache: "no-store",
    redirect: "manual",
    headers: { Accept: "application/json", "X-Requested-With": "deployment-console" },
    signal: AbortSignal.timeout(patience),
  };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response, text;
  try {
    response = await fetch(path, options);
    text = await response.text();
  } catch {
    const lost = new Refused(0, "No answer came from the gateway.");
    if (method !== "GET") lost.message += " What you asked for may have been done all the same: load the page again before you repeat it.";
    report(lost);
    throw lost;
  }
  const answer = parse(text);
  if (response.ok && answer !== undefined) {
    report(null);
    return answer;
  }
  const refused = new Refused(response.status, reason(response, answer));
  report(refused);
  throw refused;
}

function parse(text) {
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // what stands in front of the gateway has answered
  }
}

function reason(response, answer) {
  if (response.type === "opaqueredirect" || response.status === 401) {
    return "You are no longer signed in: load the page again.";
  }
  const said = answer?.error_description ?? answer?.error;
  return typeof said === "string" && said !== "" ? sentence(said) : `The gateway answered with status ${response.status}.`;
}

/** sentence is a text of the API as it stands in a page. */
function sentence(text) {
  return text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

// The banner: whether the store, or the gateway, can be reached at all.

/** How often a store that could not be reached is asked again, in milliseconds. */
const again = 3_000;

let timer;

/** report keeps the banner true to the last answer; error is null after a success. */
function report(error) {
  // One record that was altered is no outage: whoever asked is told.
  const unreachable = error?.status === 503 && !error.message.includes("altered") || error?.status === 0;
  if (error && !unreachable) return;
  const banner = document.getElementById("banner");
  const was = !banner.hidden;
  banner.hidden = !unreachable;
  if (!unreachable) {
    clearTimeout(timer);
    timer = undefined;
    // The lists that could not be loaded are.
    if (was) document.dispatchEvent(new Event("reachable"));
    return;
  }
  banner.querySelector("[data-text]").textContent = error.status === 0
    ? "The gateway cannot be reached. This page tries again by itself."
    : "The store of the keys cannot be reached, so nothing can be shown or changed. Keys that the gateways remember go on working for some seconds. This page tries again by itself.";
  timer ??= setTimeout(ask, again);
}

async function ask() {
  timer = undefined;
  if (document.hidden) {
    document.addEventListener("visibilitychange", ask, { once: true });
    return;
  }
  // Whatever the answer is, report hears of it.
  await call("GET", "/deployments?limit=1").catch(() => {});
}
