// Building elements. Text is only ever inserted as text: nothing here or elsewhere parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes, listeners (`onclick`) and children; strings become text nodes. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** A line icon; it has no meaning of its own, so it is hidden from screen readers. */
export function icon(name) {
  const element = document.createElementNS(SVG, "svg");
  element.setAttribute("viewBox", "0 0 24 24");
  element.setAttribute("class", "icon");
  element.setAttribute("aria-hidden", "true");
  for (const path of ICONS[name]) {
    const line = document.createElementNS(SVG, "path");
    line.setAttribute("d", path);
    element.append(line);
  }
  return element;
}

const ICONS = {
  up: ["M7 11v9H4v-9z", "M7 11l4-7c1.400 0 2.300 1 2.100 2.400L12.600 10H18a2 2 0 0 1 2 2.400l-1.200 6A2 2 0 0 1 16.800 20H7"],
  down: ["M7 13V4H4v9z", "M7 13l4 7c1.400 0 2.300-1 2.100-2.400L12.600 14H18a2 2 0 0 0 2-2.400l-1.200-6A2 2 0 0 0 16.800 4H7"],
  warning: ["M12 4L3 20h18z", "M12 10v4", "M12 17v.1"],
  refused: ["M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18z", "M6 18L18 6"],
};

/** Replace the content of an element. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/** A listener that ignores presses while `work` runs; what goes wrong is shown at the end of `place`. */
export function oneAtATime(place, messageOf, work) {
  let isBusy = false;
  return async (...values) => {
    if (isBusy) return;
    isBusy = true;
    place.querySelector(".alert")?.remove();
    try {
      await work(...values);
    } catch (error) {
      place.append(h("p", { class: "alert", role: "alert" }, icon("warning"), messageOf(error)));
    } finally {
      isBusy = false;
    }
  };
}

/** Read a message to people who use a screen reader. */
export function announce(text) {
  const announcer = document.getElementById("announcer");
  announcer.append(h("p", { dir: "auto" }, text));
  while (announcer.childElementCount > 20) announcer.firstElementChild.remove();
}

/** Save text under a name, through a link that is clicked for the user. */
export function saveAs(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
