"use strict";
// Search and filters over the episodes of a report, and the list of what they leave.

const FILTERS = ["run", "result", "cause", "label", "kind", "outcome"];
let found = []; // the episodes in the list

function textsOf(step) {
  return [step.reply ?? [], ...step.shown.map(([, ref]) => ref), ...(step.heard || []).map(([, , ref]) => ref), ...step.ops.map((op) => op.text)].map(text);
}

function haystack(episode) {
  const refs = [...(episode.chunks || []), episode.error];
  for (const question of episode.questions) {
    refs.push(question.text ?? [], question.answer, ...(question.gold || []), ...(question.facts || []).map((fact) => fact.text));
  }
  return [episode.name, ...refs.map(text), ...episode.steps.flatMap(textsOf)].join("\n").toLowerCase();
}

/** The first step that has the words, for the link. */
function firstHit(episode, wanted) {
  const hit = wanted && episode.steps.find((step) => {
    const chunk = episode.chunks && typeof step.chunk === "number" ? [text(episode.chunks[step.chunk])] : [];
    return [...chunk, ...textsOf(step)].some((string) => string.toLowerCase().includes(wanted));
  });
  return (hit || episode.steps[0] || { step: 0 }).step;
}

function passes(episode, want) {
  if (want.run && episode.run !== Number(want.run)) return false;
  if (want.result && missed(episode) !== (want.result === "missed")) return false;
  if (want.cause && !episode.questions.some((question) => question.cause === want.cause)) return false;
  if (want.label && !episode.questions.some((question) => (question.labels || []).includes(want.label))) return false;
  if (!want.kind && !want.outcome) return true;
  const fits = (op) => (!want.kind || op.kind === want.kind) && (!want.outcome || op.outcome === want.outcome);
  return episode.steps.some((step) => step.ops.some(fits));
}

function list() {
  const want = Object.fromEntries(FILTERS.map((name) => [name, $(name).value]));
  const words = $("search").value.trim().toLowerCase();
  found = data.episodes.filter((one) => passes(one, want) && (!words || (one.haystack ??= haystack(one)).includes(words)));
  $("count").textContent = `${found.length} of ${data.episodes.length} episodes`;
  $("list").replaceChildren(...found.map((episode) => {
    const wrong = missed(episode);
    const mark = make("span", { className: wrong ? "wrong" : "right" }, wrong ? "✗" : "✓");
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", wrong ? "missed" : "right");
    const link = make("a", { href: address(episode, firstHit(episode, words)) }, mark, prose(episode.name));
    const causes = [...new Set(episode.questions.map((question) => question.cause).filter(Boolean))].join("; ");
    const label = data.runs.length > 1 ? [data.runs[episode.run].label] : [];
    const about = [...label, ...(episode.stop === "answered" ? [] : [episode.stop.replaceAll("_", " ")]), causes].filter(Boolean);
    if (about.length) link.append(make("span", { className: "soft" }, about.join(" · ")));
    link.episode = episode;
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // another tab
      event.preventDefault();
      visit(link.hash);
    });
    if (episode === current) link.setAttribute("aria-current", "true");
    return make("li", {}, link);
  }));
}

function choices(id, values, every) {
  const options = values.map(([value, words]) => make("option", { value }, words));
  $(id).replaceChildren(make("option", { value: "" }, every), ...options);
  $(id).parentElement.hidden = values.length < 2;
  $(id).addEventListener("change", list);
}

