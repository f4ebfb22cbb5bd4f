// Runs a route of the API from its description.

import { ROOT } from "./api.js";

for (const form of document.forms) form.addEventListener("submit", async event => {
  event.preventDefault();
  let path = form.dataset.path;
  const query = new URLSearchParams();
  for (const field of form.querySelectorAll("[name]")) {
    if (field.dataset.in === "path") path = path.replace(`{${field.name}}`, encodeURIComponent(field.value));
    else if (field.value) query.set(field.name, field.value);
  }
  const url = path + (query.size ? `?${query}` : "");
  const out = form.nextElementSibling;
  out.hidden = false;
  try {
    const answer = await fetch(ROOT + url);
    out.textContent = `GET ${url}\n${answer.status} ${answer.statusText}\n\n`
      + JSON.stringify(await answer.json(), null, 2).slice(0, 20000);
  } catch (error) { out.textContent = `GET ${url}\n${error}`; }
});
