"use strict";
// The episodes of a report. Everything is built from text nodes: what a model wrote never becomes markup.

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const WAYS = ["shown", "heard", "taken out", "written", "lost", "retrieved"];

let current = null; // the episode in view
let at = 0; // index of its step in view

// --- texts

/** A text is a list of the numbers of its pieces. */
const text = (ref) => ref.map((piece) => data.pieces[piece]).join("");

function ledger(episode) {
  let state = { entries: new Map(), scratchpad: "", query: "", context: new Map() };
  return episode.steps.map((step) => {
    const heard = (step.heard || []).map(([id, role, ref]) => [id, { role, text: text(ref), place: id }]);
    const before = { ...state, context: new Map([...state.context, ...heard]) };
    state = { ...before };
    for (const [part, change] of Object.entries(step.changed || {})) {
      if (Array.isArray(change)) {
        state[part] = text(change);
        continue;
      }
      state[part] = new Map(before[part]);
      for (const [id, value] of Object.entries(change)) {
        if (value === null) state[part].delete(Number(id));
        else state[part].set(Number(id), Array.isArray(value) ? text(value) : { ...value, text: text(value.text) });
      }
    }
    return { before, after: state };
  });
}

// --- one step

const missed = (episode) => episode.questions.some((question) => question.missed);
const chip = (words, kind = "") => make("span", { className: `chip ${kind}` }, words);
const heading = (words) => make("h4", {}, words);
const none = (words) => make("p", { className: "none" }, words);

/** What may be long scrolls for itself, by keys too. */
function framed(content, className = "") {
  return make("div", { className: `box ${className}`, tabIndex: 0 }, content);
}

function box(string, empty, className = "") {
  return string ? framed(prose(string), className) : none(empty);
}

function rows(items) {
  const list = make("ol", { className: "rows" });
  for (const [name, content, className] of items) {
    list.append(make("li", { className: className || "" }, make("b", {}, name), content));
  }
  return list;
}

function title(episode, step) {
  if (step.step < 0) return "Before the first call";
  if (step.question !== null) return `Step ${step.step} · answers question ${step.question + 1} of ${episode.questions.length}`;
  return step.chunk === null ? `Step ${step.step}` : `Step ${step.step} · reads chunk ${step.chunk + 1} of ${episode.count}`;
}

function shownTo(episode, step, before) {
  const pane = make("div", {});
  if (step.step < 0) return pane;
  if (step.question !== null) {
    const question = episode.questions[step.question];
    pane.append(heading("Question"), box(question.text === undefined ? "" : text(question.text), "not there any more"));
  } else if (step.chunk !== null) {
    pane.append(heading("Chunk"), box(episode.chunks ? text(episode.chunks[step.chunk]) : "", "not there any more"));
  }
  pane.append(heading("Scratchpad"), box(before.scratchpad, "empty"));
  pane.append(heading("Query"), box(before.query, "none yet"));
  pane.append(heading(`Memories shown (${step.shown.length})`));
  const shown = step.shown.map(([entry, ref], index) => [byId(episode) ? `#${entry}` : `Memory ${index + 1} (#${entry})`, prose(text(ref))]);
  pane.append(shown.length ? framed(rows(shown)) : none("none"));
  if (before.context.size) {
    const heard = (step.heard || []).map(([id]) => message("", id, before.context.get(id)));
    pane.append(heading(`New in the context (${heard.length} of ${before.context.size})`));
    pane.append(heard.length ? framed(rows(heard)) : none("none"));
  }
  return pane;
}

/** A row of a message: its id, its role and its text. */
const message = (sign, id, said, className = "") => [`${sign}#${id} ${said.role}`, prose(said.text), className];

/** Whether prompts and operations name entries by their ids. */
const byId = (episode) => data.runs[episode.run].ids === true;

function operation(op, ids) {
  const target = op.target === undefined ? "" : ids ? ` #${op.target}` : ` Memory ${op.target}`;
  const about = op.entry === null || (ids && op.entry === op.target) ? "" : ` (#${op.entry})`;
  const name = `${op.kind}${target}${(op.targets || []).map((id) => ` #${id}`).join("")}${about}`;
  const content = make("span", {}, chip(op.outcome.replaceAll("_", " "), op.outcome === "ok" ? "ok" : "no"));
  content.append(op.old ? difference(text(op.old), text(op.text)) : prose(text(op.text)));
  return [name, content];
}

/** `whole`: the entries that stayed as they were, too. */
function replied(episode, step, before, after, whole) {
  const pane = make("div", {});
  if (step.step >= 0) {
    pane.append(heading("Reply"), box(text(step.reply), "empty", "reply"));
    if (step.finish !== "stop") pane.append(chip(`ended by ${step.finish}`, "no"));
    if (step.error !== undefined) pane.append(prose(text(step.error), "p"));
  }
  pane.append(heading(`Operations (${step.ops.length})`));
  pane.append(step.ops.length ? framed(rows(step.ops.map((op) => operation(op, byId(episode))))) : none("none"));
  const ids = [...new Set([...before.entries.keys(), ...after.entries.keys()])].sort((a, b) => a - b);
  const store = ids.map((id) => {
    const was = before.entries.get(id), is = after.entries.get(id);
    if (was === undefined) return [`+ #${id}`, prose(is), "added"];
    if (is === undefined) return [`− #${id}`, prose(was), "removed"];
    return was === is ? [`#${id}`, prose(is)] : [`~ #${id}`, difference(was, is), "changed"];
  });
  pane.append(heading(`Store after the step (${after.entries.size})`));
  const listed = whole ? store : store.filter((row) => row.length > 2);
  if (listed.length) pane.append(framed(rows(listed)));
  else pane.append(none(store.length ? "unchanged" : "empty"));
  if (before.context.size) pane.append(...conversation(before.context, after.context, whole));
  return pane;
}

/** The messages of the context in order, with those that the step took out or put in marked. */
function conversation(before, after, whole) {
  const all = [...new Map([...before, ...after])].sort(([a, one], [b, other]) => one.place - other.place || a - b);
  const told = all.map(([id, said]) => {
    if (!after.has(id)) return message("− ", id, said, "removed");
    return before.has(id) ? message("", id, said) : message("+ ", id, said, "added");
  });
  const listed = whole ? told : told.filter(([, , className]) => className);
  return [heading(`Context after the step (${after.size})`), listed.length ? framed(rows(listed)) : none("unchanged")];
}

function prompt(step) {
  const node = make("details", { className: "prompt" }, make("summary", {}, "The exact prompt"));
  for (const [role, ref] of step.prompt) node.append(heading(role), prose(text(ref), "pre"));
  return node;
}

function drawStep(episode, index, whole = true) {
  const step = episode.steps[index], { before, after } = episode.ledger[index];
  const node = make("section", { className: "step" }, make("h3", {}, title(episode, step)));
  if (step.step >= 0) {
    const cost = `${step.prompt_tokens.toLocaleString("en")} prompt tokens, ${step.new_tokens.toLocaleString("en")} new, ${step.seconds.toFixed(2)} s`;
    node.append(make("p", { className: "soft" }, cost));
  }
  node.append(make("div", { className: "panes" }, shownTo(episode, step, before), replied(episode, step, before, after, whole)));
  if (step.prompt) node.append(prompt(step));
  return node;
}

// --- one episode

function lamps(fact) {
  const node = make("div", {});
  for (const way of WAYS) {
    const step = fact[way];
    if (step === undefined) continue; // of agents that keep a conversation
    if (step === null) {
      if (way === "lost" && fact.written === null) continue; // nothing to lose
      node.append(make("span", { className: "lamp" }, way === "lost" ? "not lost" : `never ${way}`));
      continue;
    }
    const lamp = make("button", { type: "button", className: `lamp ${way}` }, `${way} at step ${step}`);
    lamp.dataset.step = step;
    lamp.addEventListener("click", () => go(current.steps.findIndex((one) => one.step === step)));
    node.append(lamp);
  }
  return node;
}

function drawQuestion(episode, question, number) {
  const scorers = data.runs[episode.run].scorers;
  const right = !question.missed;
  const node = make("details", { className: "question", open: episode.questions.length <= 3 });
  const mark = make("span", { className: right ? "right" : "wrong", ariaHidden: "true" }, right ? "✓ " : "✗ ");
  const asked = question.text === undefined ? "" : prose(text(question.text));
  node.append(make("summary", {}, mark, make("strong", {}, `Question ${number + 1} `), asked));
  const about = make("dl", {});
  const line = (name, ...content) => about.append(make("dt", {}, name), make("dd", {}, ...content));
  if (question.gold) line("gold", prose(question.gold.map(text).join(" | ")));
  line("answer", prose(text(question.answer) || "(none)"), question.tagged ? "" : make("span", { className: "soft" }, " (without tags)"));
  line("score", chip(right ? "✓ right" : "✗ missed", right ? "ok" : "no"), scorers.map((name, i) => `${name} ${question.scores[i].toFixed(2)}`).join(", "));
  if (question.cause) line("cause", chip(question.cause, "no"));
  node.append(about);
  const facts = make("ul", { className: "facts" });
  for (const fact of question.facts || []) facts.append(make("li", {}, make("span", { className: "soft" }, "gold fact "), prose(text(fact.text)), lamps(fact)));
  if (facts.firstChild) node.append(facts);
  return node;
}

/** Operations in short: C3 R. */
function tally(ops) {
  const counts = Object.entries(data.marks).map(([kind, mark]) => [mark, ops.filter((op) => op.kind === kind).length]);
  return counts.filter(([, count]) => count).map(([mark, count]) => (count > 1 ? mark + count : mark)).join(" ");
}

function open(episode) {
  current = episode;
  episode.ledger ??= ledger(episode);
  $("name").replaceChildren(prose(episode.name));
  const about = [];
  if (data.runs.length > 1) about.push(chip(data.runs[episode.run].label));
  about.push(chip(`ended: ${episode.stop.replaceAll("_", " ")}`, episode.stop === "answered" ? "" : "no"));
  if (text(episode.error)) about.push(prose(text(episode.error), "p"));
  about.push(...episode.questions.map((question, number) => drawQuestion(episode, question, number)));
  $("about").replaceChildren(...about);
  const slider = $("slider");
  slider.min = 0;
  slider.max = Math.max(0, episode.steps.length - 1);
  $("strip").replaceChildren(...episode.steps.map((step, index) => {
    const refused = step.ops.some((op) => op.outcome !== "ok" && op.outcome !== "noop");
    const wrote = Object.keys(step.changed || {}).some((part) => part !== "query");
    const letters = typeof step.question === "number" ? "?" : tally(step.ops);
    const tick = make("span", { className: refused ? "refused" : wrote ? "write" : "", title: title(episode, step) }, letters);
    tick.addEventListener("click", () => go(index));
    return tick;
  }));
}

/** Put a step of an episode in view, and its address in the address bar. */
function show(episode, index) {
  if (episode !== current) open(episode);
  at = Math.max(0, Math.min(index, episode.steps.length - 1));
  const step = episode.steps[at];
  $("steps").replaceChildren(...(step ? [drawStep(episode, at)] : [none("no step was recorded")]));
  const number = step ? step.step : 0;
  $("slider").value = at;
  $("slider").setAttribute("aria-valuetext", step ? title(episode, step) : "");
  $("first").disabled = $("back").disabled = at === 0;
  $("last").disabled = $("forward").disabled = at >= episode.steps.length - 1;
  [...$("strip").children].forEach((tick, i) => tick.classList.toggle("now", i === at));
  for (const lamp of document.querySelectorAll(".lamp[data-step]")) {
    lamp.classList.toggle("lit", Number(lamp.dataset.step) <= number);
  }
  for (const link of $("list").querySelectorAll("a")) {
    if (link.episode === episode) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}
