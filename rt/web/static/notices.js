// Messages to the visitor: the status pill, a notice over the image, a transient toast.

const TOAST_MS = 4000;
const READING_MS = 60; // for each letter
const $ = (id) => document.getElementById(id);
let timer;

/** Show the connection state: `live`, `waiting`, `slow` or `away`. */
export function pill(state, text) {
  if ($("pill").dataset.state === state && $("pill").textContent === text) return; // screen readers announce every change
  $("pill").dataset.state = state;
  $("pill").textContent = text;
}

/** Show over the image what the page is waiting for. */
export function wait(title, text = "") {
  notice("status", title, text);
}

/** Show an error over the image, with an optional button. */
export function fault(title, text, button, action) {
  notice("alert", title, text, button, action);
}

export function hideNotice() {
  $("notice").hidden = true;
}

function notice(role, title, text, button, action) {
  $("notice").setAttribute("role", role);
  $("notice").hidden = false;
  $("notice-title").textContent = title;
  $("notice-text").textContent = text;
  $("notice-button").hidden = !button;
  $("notice-button").textContent = button ?? "";
  $("notice-button").onclick = action ?? null;
}

/** Show a line that disappears after a while; with `stays`, on `hideToast`. */
export function toast(text, stays = false) {
  $("toast").textContent = text;
  $("toast").classList.add("shown");
  $("toast").classList.toggle("stays", stays);
  clearTimeout(timer);
  if (!stays) timer = setTimeout(hideToast, Math.max(TOAST_MS, READING_MS * text.length));
}

export function hideToast() {
  $("toast").classList.remove("shown", "stays");
}

export const toastStays = () => $("toast").classList.contains("stays");
