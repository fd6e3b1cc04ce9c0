// A batch's files are deleted when the studio is left, not when a page is loaded again or the other one is opened.

const KEY = "videobrush-batch";
let within = false; // a link to the other page was followed

export const batchId = () => sessionStorage.getItem(KEY);

export function keepBatch(id) {
  if (id) sessionStorage.setItem(KEY, id);
  else sessionStorage.removeItem(KEY);
}

/** Say that the page is there: the server answers with the batch, or null where it is gone. */
export async function stay() {
  if (!batchId()) return null;
  const answer = await fetch(`/api/batches/${batchId()}/stay`, { method: "POST" }).catch(() => null);
  if (answer?.status === 404) keepBatch(null);
  return answer?.ok ? answer.json() : null;
}

addEventListener("click", (event) => {
  const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  within = plain && Boolean(event.target.closest?.("header nav a"));
});
addEventListener("pagehide", () => {
  if (batchId() && !within) navigator.sendBeacon(`/api/batches/${batchId()}/leave`);
});
addEventListener("pageshow", ({ persisted }) => {
  within = false;
  if (persisted || !document.getElementById("drop")) stay(); // the batch's page asks for itself
});
