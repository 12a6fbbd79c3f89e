// Tries a call where it is described: fills the path, sends the request, shows the answer.

const csrf = document.querySelector('meta[name="csrf"]').content;

// What is sent beside the address: nothing, a form, or the fields of a JSON object that were filled in.
function body(form, fields) {
  const json = fields.filter((field) => field.dataset.in === "json");
  if (form.dataset.method !== "POST") return {};
  if (!json.length) return { body: new FormData(form) };
  const value = (field) =>
    ({ boolean: () => field.checked, integer: () => Number(field.value) })[field.dataset.type]?.() ?? field.value;
  const filled = json.filter((field) => field.value !== "");
  return {
    body: JSON.stringify(Object.fromEntries(filled.map((field) => [field.name, value(field)]))),
    headers: { "Content-Type": "application/json" },
  };
}

for (const form of document.querySelectorAll(".docs form")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = [...form.querySelectorAll("input")];
    const query = new URLSearchParams(fields.filter((f) => f.dataset.in === "query" && f.value).map((f) => [f.name, f.value]));
    const path = fields
      .filter((field) => field.dataset.in === "path")
      .reduce((address, field) => address.replace(`{${field.name}}`, encodeURIComponent(field.value)), form.getAttribute("action"));
    const address = query.size ? `${path}?${query}` : path;
    form.querySelector("[data-address]").textContent = address;
    const shown = form.querySelector("pre");
    const { headers, ...sent } = body(form, fields);
    const answer = await fetch(address, { method: form.dataset.method, headers: { ...headers, "X-CSRF-Token": csrf }, ...sent });
    shown.hidden = false;
    const kind = answer.headers.get("Content-Type") ?? "";
    if (kind.startsWith("image/")) {
      const picture = new Image();
      picture.src = address;
      picture.alt = "The answer";
      shown.replaceChildren(picture);
    } else {
      const text = await answer.text();
      shown.textContent = `${answer.status}\n${kind.endsWith("json") ? JSON.stringify(JSON.parse(text), null, 2) : text}`;
    }
  });
}
