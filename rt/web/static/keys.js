// The keyboard: the keys of the window that `videobrush run` opens, and a few of the page's own.

const OWN = ["ArrowLeft", "ArrowRight", "Home", "End"]; // what a slider does with keys itself

/** Call what `actions` has for a key that is pressed; digits call its `style` with a number from 0. */
export function listenToKeys(actions) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (document.querySelector("dialog[open]") && key !== "h") return;
    // Until the next drawing a closed dialog's button keeps the keyboard.
    const tagName = event.target.closest?.("dialog:not([open])") ? null : event.target.tagName;
    if (tagName === "SELECT" || (tagName === "INPUT" && OWN.includes(key)) || (tagName === "BUTTON" && key === " ")) return;
    const action = /^[1-9]$/.test(key) ? () => actions.style(Number(key) - 1) : actions[key];
    if (!action || (event.repeat && key.length === 1 && !"+=-_".includes(key))) return;
    event.preventDefault();
    action();
  });
  // A button that was clicked gives the keyboard back: space compares, it does not click once more.
  addEventListener("click", ({ detail, target }) => detail && target.closest("button")?.blur());
}
