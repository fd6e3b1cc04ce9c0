// What is said to the visitor: the pill in the corner, a notice over the picture, a line that goes again.

const TOAST_MS = 4000;
const $ = (id) => document.getElementById(id);
let timer;

/** Say the state of the connection: `live`, `waiting`, `slow` or `away`. */
export function pill(state, text) {
  if ($("pill").dataset.state === state && $("pill").textContent === text) return; // read aloud at every change
  $("pill").dataset.state = state;
  $("pill").textContent = text;
}

/** Say over the picture what is waited for. */
export function wait(title, text = "") {
  notice("status", title, text);
}

/** Say over the picture what is wrong, with a button to do something about it, or none. */
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

/** Say a line that goes after a while; one that stays goes with `hideToast`. */
export function toast(text, stays = false) {
  $("toast").textContent = text;
  $("toast").classList.add("shown");
  $("toast").classList.toggle("stays", stays);
  clearTimeout(timer);
  if (!stays) timer = setTimeout(hideToast, TOAST_MS);
}

export function hideToast() {
  $("toast").classList.remove("shown", "stays");
}

export const toastStays = () => $("toast").classList.contains("stays");
