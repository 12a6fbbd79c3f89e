// Calls that change something carry the token that only our own pages know.

import { text } from "./texts.js";

export async function call(method, url, body) {
  const headers = { Accept: "application/json", "X-CSRF-Token": document.querySelector("meta[name=csrf]").content };
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) }).catch(() => null);
  if (!answer) throw new Error(text("offline"));
  if (answer.status === 401) location.reload(); // leads to the login page and back
  if (answer.status === 204) return null;
  const result = await answer.json();
  if (!answer.ok) throw new Error(result.detail ?? result.title);
  return result;
}
