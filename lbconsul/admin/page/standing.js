// What an upstream may get, told by shape, colour and word alike.

import { count } from "./format.js";

/** Paths in a square of 16: told apart in black and white, and at 10 pixels. */
export const STANDINGS = {
  serving: {
    order: 4,
    // A full disc.
    path: "M8 2.5a5.5 5.5 0 1 1 0 11a5.5 5.5 0 1 1 0-11z",
    means: "gets new connections",
  },
  warming: {
    order: 3,
    // A disc half full.
    path: "M8 1.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 1 1 0-13zm0 2a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9zM8 4.6a3.4 3.4 0 0 0 0 6.8z",
    means: "is new, and gets a growing share",
  },
  draining: {
    order: 1,
    // A triangle that points down, hollow.
    path: "M1 2.5h14L8 15zM4.4 4.5L8 10.9L11.6 4.5z",
    means: "keeps its connections and gets no new ones",
  },
  ejected: {
    order: 0,
    // A cross.
    path: "M3.6 1.5L8 5.9L12.4 1.5L14.5 3.6L10.1 8L14.5 12.4L12.4 14.5L8 10.1L3.6 14.5L1.5 12.4L5.9 8L1.5 3.6z",
    means: "failed, and gets no connections for a while",
  },
  suspect: {
    order: 2,
    // A diamond, hollow.
    path: "M8 .8L15.2 8L8 15.2L.8 8zM8 3.8L3.8 8L8 12.2L12.2 8z",
    means: "is kept in reserve, since its loss is not confirmed",
  },
};

const UNKNOWN = { order: 0, path: "M3 7h10v2H3z", means: "" };

export const standingOf = (name) => STANDINGS[name] ?? UNKNOWN;

/** Whether new connections may go there. */
export const serves = (standing) => standing === "serving" || standing === "warming";

/** Whether it is used though its own check fails, as those of its whole pool do. */
export const failsOpen = ({ standing, check }) => serves(standing) && check?.state === "failing";

/** Whether it is a route whose tags are invalid: `empty` says why. */
export const isClosed = ({ service, empty }) => !service && Boolean(empty);

/** Where a mapping, a route, or a part of either leads. */
export function goalInWords(mapping) {
  const { service, split } = mapping;
  if (!service) return isClosed(mapping) ? "closed" : "its routes only";
  return split ? `${service} (${split.part || "the rest"})` : service;
}

/** How far its drain has come; empty if there is nothing to tell. */
export function drainInWords({ drain_began_with: begun, open }) {
  return begun ? `${count(open)} of ${count(Math.max(begun, open))} left` : "";
}
