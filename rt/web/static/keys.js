// Keyboard shortcuts: those of the `videobrush run` window, and a few more.

const OWN = ["ArrowLeft", "ArrowRight", "Home", "End"]; // keys that sliders handle themselves

/** Call the action of a pressed key; digits call `style` with an index from 0. */
export function listenToKeys(actions) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (document.querySelector("dialog[open]") && key !== "h") return;
    // A closed dialog's button keeps the focus until the next repaint.
    const tagName = event.target.closest?.("dialog:not([open])") ? null : event.target.tagName;
    if (tagName === "SELECT" || (tagName === "INPUT" && OWN.includes(key)) || (tagName === "BUTTON" && key === " ")) return;
    const action = /^[1-9]$/.test(key) ? () => actions.style(Number(key) - 1) : actions[key];
    if (!action || (event.repeat && key.length === 1 && !"+=-_".includes(key))) return;
    event.preventDefault();
    action();
  });
  // A clicked button gives up the focus, so that space compares instead of clicking again.
  addEventListener("click", ({ detail, target }) => detail && target.closest("button")?.blur());
}
