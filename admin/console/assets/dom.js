// Putting data into pages. All of it goes in as text: nothing here, or elsewhere, makes HTML of it.

/** copyOf is a copy of the one element in a <template>. */
export function copyOf(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

/** write puts texts into the elements below root whose data-text names them. It returns root. */
export function write(root, texts) {
  for (const [name, text] of Object.entries(texts)) {
    for (const element of root.querySelectorAll(`[data-text="${name}"]`)) element.textContent = text ?? "";
  }
  return root;
}

/** show shows the elements below root that a selector finds, or hides them. */
export function show(root, selector, visible = true) {
  for (const element of root.querySelectorAll(selector)) element.hidden = !visible;
}

/** state shows that part of root whose data-state is the one given, and hides those of other states. */
export function state(root, name) {
  for (const element of root.querySelectorAll(":scope > [data-state]")) element.hidden = element.dataset.state !== name;
}

const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" }), clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

/** localTime is a time of the API for people, by the clock of their machine. A line may end between the day and the time. */
export function localTime(time) {
  const at = new Date(time);
  return [day, clock].map((part) => part.format(at).replaceAll(" ", "\u00a0")).join(", ");
}

/** writeTime puts a time into the <time> elements below root whose data-time is name: local, with UTC on hover. */
export function writeTime(root, name, time, otherwise = "") {
  for (const element of root.querySelectorAll(`[data-time="${name}"]`)) {
    element.textContent = time ? localTime(time) : otherwise;
    element.removeAttribute("title");
    element.removeAttribute("datetime");
    if (!time) continue;
    const utc = new Date(time).toISOString();
    element.dateTime = utc;
    element.title = utc.slice(0, 19).replace("T", " ") + " UTC";
  }
}

/** counted is a number and what is counted: 1 key, 1,200 keys. */
export function counted(n, one, many = one + "s") {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

const place = document.getElementById("toast");
let gone;

/** toast says in passing what was done, also to screen readers. */
export function toast(text) {
  // What is outside of an open dialog is not read out.
  ([...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body).append(place);
  place.textContent = text;
  clearTimeout(gone);
  gone = setTimeout(() => { place.textContent = ""; }, 5_000);
}

/** copyOnClick makes a button copy what text() returns. */
export function copyOnClick(button, text) {
  button.addEventListener("click", async () => {
    const done = await copy(text(), button);
    say(button, done ? "copied" : "not copied: mark the text and copy it yourself");
  });
}

async function copy(text, beside) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // It was forbidden. The other way may be open.
    }
  }
  // Without TLS a browser has no clipboard for pages, but copies what is marked in a field. The field is inside of the
  // dialog of the button, where it can be focused.
  const field = document.createElement("textarea");
  field.className = "hidden";
  field.value = text;
  beside.after(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  beside.focus();
  return done;
}

const said = new WeakMap();

/** say has a button say for a moment what became of the click. */
function say(button, text) {
  clearTimeout(said.get(button)?.timer);
  said.get(button)?.undo();
  const icon = button.querySelector(".icon");
  const done = text === "copied";
  const status = document.createElement("span");
  status.className = done ? "hidden" : "hint";
  status.setAttribute("role", "status");
  button.after(status);
  status.textContent = text;
  button.classList.toggle("copied", done);
  icon?.classList.replace("icon-copy", done ? "icon-check" : "icon-alert");
  const undo = () => {
    status.remove();
    button.classList.remove("copied");
    icon?.classList.replace(done ? "icon-check" : "icon-alert", "icon-copy");
    said.delete(button);
  };
  said.set(button, { undo, timer: setTimeout(undo, 2_500) });
}
