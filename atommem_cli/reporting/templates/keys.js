"use strict";
// Addresses, keys, theme, paper; and the page begins.

// --- addresses

function address(episode, number) {
  const run = data.runs.length > 1 ? `/${episode.run}` : "";
  return `#${encodeURIComponent(episode.name)}/${number}${run}`;
}

function go(index) {
  show(current, index);
  if (current.steps[at]) history.replaceState(null, "", address(current, current.steps[at].step));
}

/** Follow the address: #episode/step, or #episode/step/run. */
function route() {
  const parts = location.hash.slice(1).split("/");
  if (parts.length < 2) return false;
  let name;
  try {
    name = decodeURIComponent(parts[0]);
  } catch {
    return false;
  }
  const episode = data.episodes.find((one) => one.name === name && one.run === Number(parts[2] || 0));
  $("lost").hidden = Boolean(episode);
  $("lost").textContent = `${name} is not among the episodes on this page.`;
  if (!episode) return false;
  show(episode, Math.max(0, episode.steps.findIndex((step) => step.step === Number(parts[1]))));
  $("viewer").scrollIntoView();
  return true;
}

/** Go to an address at once, with a way back. */
function visit(hash) {
  history.pushState(null, "", hash);
  route();
}

// --- keys, theme, paper

function neighbour(step) {
  const place = found.indexOf(current) + step;
  if (place < 0 || place >= found.length) return;
  visit(address(found[place], firstHit(found[place], $("search").value.trim().toLowerCase())));
}

const KEYS = {
  ArrowLeft: () => go(at - 1), ArrowRight: () => go(at + 1), Home: () => go(0), End: () => go(current.steps.length - 1),
  j: () => neighbour(1), k: () => neighbour(-1), "/": () => $("search").focus(), "?": () => $("keys").focus(),
};

function pressed(event) {
  const typing = event.target.closest("input, select, textarea, .scroll");
  if (!KEYS[event.key] || typing || event.ctrlKey || event.altKey || event.metaKey || !current) return;
  event.preventDefault();
  KEYS[event.key]();
}

function dark() {
  return document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** The button says what it does. */
function named() {
  $("theme").textContent = dark() ? "Light" : "Dark";
}

function turn() {
  document.documentElement.dataset.theme = dark() ? "light" : "dark";
  named();
}

/** On paper the episode in view has all its steps, each with what it changed; the last one with the whole store. */
function unfold(printing) {
  if (!current) return;
  const last = current.steps.length - 1;
  for (const question of document.querySelectorAll(".question")) question.open ||= printing;
  if (printing) $("steps").replaceChildren(...current.steps.map((_, index) => drawStep(current, index, index === last)));
  else show(current, at);
}

// --- begin

const unique = (values) => [...new Set(values)].filter(Boolean).sort().map((value) => [value, value.replaceAll("_", " ")]);
const questions = data.episodes.flatMap((episode) => episode.questions);
const ops = data.episodes.flatMap((episode) => episode.steps).flatMap((step) => step.ops);
choices("run", data.runs.map((run, index) => [String(index), run.label]), "all");
choices("result", [["missed", "missed only"], ["right", "right only"]], "all");
choices("cause", unique(questions.map((question) => question.cause)), "any");
choices("label", unique(questions.flatMap((question) => question.labels || [])), "any");
choices("kind", unique(ops.map((op) => op.kind)), "any");
choices("outcome", unique(ops.map((op) => op.outcome)), "any");
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("search").addEventListener("input", () => {
  list();
  if (current) show(current, at);
});
$("slider").addEventListener("input", () => go(Number($("slider").value)));
$("first").addEventListener("click", () => go(0));
$("back").addEventListener("click", () => go(at - 1));
$("forward").addEventListener("click", () => go(at + 1));
$("last").addEventListener("click", () => go(current.steps.length - 1));
$("theme").addEventListener("click", turn);
named();
addEventListener("hashchange", route);
addEventListener("keydown", pressed);
addEventListener("beforeprint", () => unfold(true));
addEventListener("afterprint", () => unfold(false));
matchMedia("print").addEventListener("change", (event) => unfold(event.matches));
list();
if (!route() && data.episodes.length) show(data.episodes[0], 0);
