// The little that is needed to build and change elements. No inline styles: the content security policy forbids them.

export const byId = (id) => document.getElementById(id);

/** el("button", {class: "chip", "aria-pressed": "true"}, "text", child, ...) */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Sets the text only when it differs: an unchanged text costs no layout. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttr(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

export function setData(node, name, value) {
  if (node.dataset[name] !== value) node.dataset[name] = value;
}

/** Local storage may be forbidden or full; a preference that cannot be kept is not worth an error. */
export function remember(key, value) {
  try {
    localStorage.setItem(`signalbox.${key}`, JSON.stringify(value));
  } catch (error) {
    console.debug("preference not kept", key, error);
  }
}

export function recall(key, fallback) {
  try {
    const text = localStorage.getItem(`signalbox.${key}`);
    return text === null ? fallback : JSON.parse(text);
  } catch (error) {
    console.debug("preference not read", key, error);
    return fallback;
  }
}
