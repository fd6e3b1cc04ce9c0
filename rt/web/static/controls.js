// What both pages have: a button for a style, and what a slider shows.

/** A button with a style's preview; `role` is radio or checkbox, `choose(id)` is called when it is clicked. */
export function styleButton({ id, title, preview }, index, role, choose) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", title: index < 9 ? `${title} (${index + 1})` : title });
  button.dataset.id = id;
  button.setAttribute("role", role);
  const image = preview ? Object.assign(new Image(), { src: preview, alt: "", draggable: false }) : monogram(id);
  const name = Object.assign(document.createElement("span"), { textContent: id });
  button.append(image, name);
  if (index < 9) button.append(Object.assign(document.createElement("kbd"), { textContent: index + 1, ariaHidden: "true" }));
  button.onclick = () => choose(id);
  return button;
}

/** Show a slider's value, 0 to 1. */
export function showShare(id, value) {
  const slider = document.getElementById(id);
  slider.value = value;
  slider.style.setProperty("--share", value);
  document.getElementById(`${id}-out`).textContent = id === "steady" && !value ? "off" : `${Math.round(value * 100)} %`;
}

/** A letter on a colour, for a style without a preview. */
function monogram(id) {
  const letter = document.createElement("b");
  letter.textContent = id[0];
  letter.ariaHidden = "true";
  letter.style.setProperty("--hue", [...id].reduce((sum, sign) => sum + 37 * sign.codePointAt(0), 0) % 360);
  return letter;
}
