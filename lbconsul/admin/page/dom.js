// A little help with the document.  Nothing here, nor anywhere on this page, parses
// markup: ids, tags and reasons come from any client that may register in Consul.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element with attributes and children.  A property that is a function is a
 * listener ("click"); true stands for an empty attribute; false and null for none.
 */
export function element(tag, properties = {}, ...children) {
  return furnished(document.createElement(tag), properties, children);
}

export function svg(tag, properties = {}, ...children) {
  return furnished(document.createElementNS(SVG, tag), properties, children);
}

function furnished(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== false && value !== null && value !== undefined)
      node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** A text of its own, that is written only when it changes. */
export class Words {
  constructor(text = "") {
    this.node = document.createTextNode(text);
    this.text = text;
  }

  set(text) {
    if (text === this.text) return false;
    this.text = text;
    this.node.data = text;
    return true;
  }
}

/** An attribute (or data- or style property) that is written only when it changes. */
export class Attribute {
  constructor(node, name) {
    this.node = node;
    this.name = name;
    this.value = undefined;
  }

  set(value) {
    if (value === this.value) return false;
    this.value = value;
    if (value === null || value === false) this.node.removeAttribute(this.name);
    else this.node.setAttribute(this.name, value === true ? "" : value);
    return true;
  }
}

/** A custom property of style that is written only when it changes. */
export class StyleValue {
  constructor(node, name) {
    this.node = node;
    this.name = name;
    this.value = undefined;
  }

  set(value) {
    if (value === this.value) return;
    this.value = value;
    this.node.style.setProperty(this.name, value);
  }
}

/** Make `parent` have these children in this order, and move only who is elsewhere. */
export function arrange(parent, wanted) {
  let next = parent.firstChild;
  for (const node of wanted) {
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
  }
  while (next !== null) {
    const after = next.nextSibling;
    next.remove();
    next = after;
  }
}
