// Tries a call where it is described: fills the path, sends the request, shows the answer.

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
    const answer = await (form.method === "post" ? fetch(address, { method: "POST", body: new FormData(form) }) : fetch(address));
    shown.hidden = false;
    if (answer.headers.get("Content-Type").startsWith("image/")) {
      const picture = new Image();
      picture.src = address;
      picture.alt = "The answer";
      shown.replaceChildren(picture);
    } else {
      shown.textContent = `${answer.status}\n${JSON.stringify(await answer.json(), null, 2)}`;
    }
  });
}
