// Light or dark, before anything is painted: hence no module, and in the head.

"use strict";

const THEME_KEY = "lbconsul-theme";

function chosenTheme() {
  try {
    return localStorage.getItem(THEME_KEY) ?? "auto";
  } catch {
    return "auto"; // Storage may be forbidden: then nothing is kept.
  }
}

function applyTheme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}

applyTheme(chosenTheme());

window.lbconsulTheme = {
  chosen: chosenTheme,
  choose(name) {
    applyTheme(name);
    try {
      localStorage.setItem(THEME_KEY, name);
    } catch {
      // It lasts as long as the page does.
    }
  },
};
