// What the entries of the audit log say, in words.

const kinds = {
  "deployment.created": "Deployment created",
  "deployment.updated": "Deployment changed",
  "deployment.deleted": "Deployment deleted",
  "deployment.tokens_revoked": "All tokens of the Deployment ended",
  "key.created": "API Key created",
  "key.updated": "API Key changed",
  "key.deleted": "API Key deleted",
  "key.rotated": "Secret of the API Key rotated",
  "key.previous_secret_ended": "Previous secret ended",
  "key.tokens_revoked": "Tokens of the API Key ended",
  "member.put": "Member added or changed",
  "member.deleted": "Member removed",
  "token.revoked": "Token revoked",
  "tokens.revoked": "All tokens of this gateway ended",
  "signing_key.added": "Signing key announced",
  "signing_key.activated": "Signing key took over",
  "signing_key.removed": "Signing key removed",
  "signing_keys.replaced": "Signing keys replaced",
  "store.created": "Store created",
  "store.secret_changed": "Master secret changed",
  "request.refused": "Request refused",
  "refusals.summed": "Requests refused",
  "audit.gap": "Changes lost before they were entered",
  "audit.altered": "Altered or lost in the store",
};

const handlers = {
  auth: "at the check of tokens",
  airflow: "on the way to Airflow",
  token: "at the token endpoint",
  revoke: "at revocation",
  introspect: "at introspection",
  user_token: "at the endpoint of users' tokens",
  console: "in the console",
};

// By which way somebody came who has a name that others may have too.
const ways = {
  local_admin: "on the admin endpoint",
  remote_admin: "on the remote admin endpoint",
  console: "in the console",
  oauth: "with the token itself",
  command: "by a command",
};

/** describe is an entry in words: what happened, and the rest. A kind that is not known stands for itself. */
export function describe(event) {
  let what = kinds[event.kind] ?? String(event.kind);
  if (event.outcome === "refused" && event.kind !== "request.refused" && event.kind !== "refusals.summed") what += ", refused";
  if (event.count > 1) what += ` ${event.count.toLocaleString("en")} times`;
  const details = [];
  if (event.via) details.push(ways[event.via] ?? event.via);
  if (event.handler) details.push(handlers[event.handler] ?? event.handler);
  if (event.error) details.push(event.error);
  if (event.key) details.push(`key ${event.key}`);
  if (event.user) details.push(`user ${event.user}`);
  if (event.token) details.push(`token ${event.token}`);
  for (const [name, value] of Object.entries(event.set ?? {})) details.push(`${name}: ${value}`);
  return { what, details: details.join(" · ") };
}
