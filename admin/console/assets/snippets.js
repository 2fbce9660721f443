// Code to copy, with the addresses of this gateway and the ID of a Deployment in it. The texts are files in snippets/, which
// work as they stand: those for CI systems are the templates of examples/ci.

import { copyOf, copyOnClick, write } from "./dom.js";

// What stands in the files for the addresses and the ID.
const itsAirflow = "https://gateway.example.com/etl/api/v2", itsGateway = "https://gateway.example.com", itsDeployment = "etl";
const places = /https:\/\/gateway\.example\.com(\/etl\/api\/v2)?|\betl\b/g;

/** forKeys are the snippets for jobs, which have a key. */
export const forKeys = [
  { file: "curl", title: "curl", about: "In a shell." },
  { file: "python", title: "Python", about: "In a script." },
  { file: "github-actions", title: "GitHub Actions", about: "As .github/workflows/deploy.yml, with deploy.sh as ci/deploy.sh.", ci: "yaml" },
  { file: "gitlab-ci", title: "GitLab CI", about: "As .gitlab-ci.yml, with deploy.sh as ci/deploy.sh.", ci: "yaml" },
  { file: "jenkins", title: "Jenkins", about: "As Jenkinsfile, with deploy.sh as ci/deploy.sh.", ci: "groovy" },
];

/** forUsers are those for people, who have a token. */
export const forUsers = [
  { file: "keep-token", title: "Keep the token in the shell", about: "Paste it when you are asked. So it stays out of the shell's history." },
  { file: "call", title: "curl", about: "As often as you like, in the same shell." },
];

/** gatewayOf is the address at which keys get their tokens: what was configured, or this site. */
export const gatewayOf = (me) => me.issuer || location.origin;

/** airflowOf is where the Airflow API of a Deployment is, if the gateway is laid out as in examples/ci. */
export const airflowOf = (gateway, deployment) => `${gateway}/${deployment}/api/v2`;

/** address is what was typed as an address, fit to be put in quotes; undefined when it is none. */
export function address(text) {
  let url;
  try {
    url = new URL(text.trim());
  } catch {
    return undefined;
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") return undefined;
  return (url.origin + url.pathname).replace(/\/+$/, "").replaceAll("'", "%27").replaceAll("$", "%24");
}

/** Snippets are shown in a place, and keep up with what is typed. */
export class Snippets {
  #shown = [];

  /** load reads the texts of snippets, all at once, and puts them in place. */
  async load(place, list) {
    const texts = await Promise.all(list.map(async ({ file }) => {
      const answer = await fetch(new URL(`snippets/${file}.txt`, import.meta.url));
      if (!answer.ok) throw new Error(`The snippet ${file} could not be loaded.`);
      return answer.text();
    }));
    this.#shown = list.map((snippet, i) => {
      const section = write(copyOf("snippet"), { title: snippet.title, about: snippet.about, what: ` ${snippet.title}` });
      const shown = { ...snippet, text: texts[i], section, code: texts[i] };
      section.querySelector("pre").setAttribute("aria-label", snippet.title);
      copyOnClick(section.querySelector("[data-copy]"), () => shown.code);
      return shown;
    });
    place.replaceChildren(...this.#shown.map(({ section }) => section));
  }

  /** fill puts addresses and an ID into the texts. */
  fill({ gateway, airflow, deployment }) {
    for (const shown of this.#shown) {
      const values = { [itsAirflow]: airflow, [itsGateway]: gateway, [itsDeployment]: deployment };
      shown.code = shown.text.replaceAll(places, (place) => values[place]);
      if (shown.ci && airflow !== airflowOf(gateway, deployment)) shown.code = withAirflow(shown, airflow);
      write(shown.section, { code: shown.code });
    }
  }
}

/** withAirflow adds the address of an Airflow API that deploy.sh could not know by itself. */
function withAirflow({ code, ci }, airflow) {
  const line = ci === "yaml" ? `AIRFLOW_URL: ${airflow}` : `AIRFLOW_URL = '${airflow}'`;
  return code.replace(/^( *)DAG_ID.*$/m, (dag, indent) => `${dag}\n${indent}${line}`);
}
